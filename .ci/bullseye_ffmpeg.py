"""Unpacks FFmpeg 4's libraries, as Debian 11 has them, into a folder; needs no root.

python .ci/bullseye_ffmpeg.py FOLDER        # prints the folders for LD_LIBRARY_PATH
"""

import hashlib
import lzma
import pathlib
import re
import subprocess
import sys
import urllib.request

MIRROR = "http://deb.debian.org/debian/"
WANTED = ("libavformat58", "libswscale5")

#: What every Linux has, and must not have twice in a process.
EVERYWHERE = {"libc6", "libgcc-s1", "libstdc++6", "gcc-10-base", "libcrypt1"}


def main(folder):
    folder = pathlib.Path(folder)
    packages = index()
    todo, done = list(WANTED), set(EVERYWHERE)
    while todo:
        name = todo.pop()
        if name in done or name not in packages:  # a virtual package: another one provides it
            continue
        done.add(name)
        fields = packages[name]
        data = fetch(fields["Filename"])
        if hashlib.sha256(data).hexdigest() != fields["SHA256"]:
            raise SystemExit(f"{name} is not what the index of Debian 11 says")
        path = folder / f"{name}.deb"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        subprocess.run(["dpkg-deb", "-x", path, folder / "root"], check=True)
        path.unlink()
        for part in ("Depends", "Pre-Depends"):
            for alternatives in fields.get(part, "").split(","):
                todo.append(re.split(r"[|(:]", alternatives)[0].strip())
    folders = {path.parent for path in (folder / "root").rglob("*.so.*")}
    print(":".join(sorted(map(str, folders))))


def index():
    text = lzma.decompress(fetch("dists/bullseye/main/binary-amd64/Packages.xz")).decode()
    packages = {}
    for paragraph in text.split("\n\n"):
        lines = [line.split(": ", 1) for line in paragraph.splitlines() if ": " in line]
        fields = {name: value for name, value in lines if not name.startswith(" ")}
        if fields:
            packages[fields["Package"]] = fields
    return packages


def fetch(path):
    with urllib.request.urlopen(MIRROR + path, timeout=60) as answer:
        return answer.read()


if __name__ == "__main__":
    main(sys.argv[1])
