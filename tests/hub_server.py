"""A Hub on the loopback: what `huggingface_hub` asks, over what it has committed, with faults.

It keeps commits and large files in memory and serves exactly those. As the public Hub does, it
answers for a large file with a redirect to another host, which bears neither commit nor token:
`localhost` here, while the Hub itself is `127.0.0.1`.
"""

import base64
import contextlib
import dataclasses
import hashlib
import http.server
import json
import re
import socket
import threading
import time
import urllib.parse

WRITER, READER = "hf_writer", "hf_reader"

#: Files the Hub stores by their SHA-256, as the `.gitattributes` of a new repository say.
LARGE = (".h5", ".keras", ".safetensors", ".bin")


@dataclasses.dataclass
class Faults:
    """What is to go wrong; by file name or by repository.

    Attributes:
        cut: `{file: bytes}`: the next download breaks off after so many bytes, once.
        wrong: Files that are served with one byte changed.
        closed: `{repository: status}`: 401 as to strangers, 403 as a gated one.
        gate: `{file: n}`: a download waits until so many clients have asked for the file.
    """

    cut: dict = dataclasses.field(default_factory=dict)
    wrong: set = dataclasses.field(default_factory=set)
    closed: dict = dataclasses.field(default_factory=dict)
    gate: dict = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class Request:
    """A line of the log: what was asked, and what was sent."""

    method: str
    path: str
    range: str | None
    token: str | None
    status: int = 0
    sent: int = 0


@dataclasses.dataclass
class Repository:
    """Commits, each the whole tree `{path: bytes}`, and the names that point at them."""

    private: bool = False
    commits: dict = dataclasses.field(default_factory=dict)
    messages: dict = dataclasses.field(default_factory=dict)
    refs: dict = dataclasses.field(default_factory=dict)

    def commit(self, changes, branch="main", message=""):
        tree = {**self.commits.get(self.refs.get(branch), {}), **changes}
        oid = hashlib.sha1(repr((len(self.commits), sorted(tree))).encode()).hexdigest()
        self.commits[oid], self.messages[oid], self.refs[branch] = tree, message, oid
        return oid

    def resolve(self, revision):
        """Name or commit -> commit."""
        commit = self.refs.get(revision, revision)
        if commit not in self.commits:
            raise Refusal(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return commit


class Refusal(Exception):
    """An answer that is an error: status, the Hub's code for it, its words."""

    def __init__(self, status, code=None, message=""):
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


class HubServer:
    """The Hub's state; `running()` serves it.

    Attributes:
        endpoint: For HF_ENDPOINT.
        repositories: `{"owner/name": Repository}`.
        large: `{sha256: bytes}`.
        log: List of `Request`.
        faults: `Faults`.
    """

    def __init__(self):
        self.repositories, self.large, self.log, self.faults = {}, {}, [], Faults()
        self.lock = threading.Lock()

    def put(self, repo, files, branch="main"):
        """Commits `{path: bytes}` directly; returns the commit."""
        return self.repositories.setdefault(repo, Repository()).commit(files, branch)

    def asked(self, method, part):
        """The requests of a method whose path contains `part`."""
        with self.lock:
            return [r for r in self.log if r.method == method and part in r.path]

    def use(self, monkeypatch, cache):
        """Makes it the Hub of this process and those it starts, and `cache` their cache."""
        monkeypatch.setenv("HF_ENDPOINT", self.endpoint)
        monkeypatch.setenv("KERAS_STC_HOME", str(cache))
        monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
        for name in ("HF_HUB_OFFLINE", "HF_TOKEN"):
            monkeypatch.delenv(name, raising=False)

    @contextlib.contextmanager
    def running(self):
        handler = type("Handler", (Handler,), {"hub": self, "connections": []})
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
            self.port = server.server_address[1]
            self.endpoint = f"http://127.0.0.1:{self.port}"
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
            try:
                yield self
            finally:
                server.shutdown()
                # Clients keep theirs open, and would still be answered.
                for connection in handler.connections:
                    with contextlib.suppress(OSError):
                        connection.shutdown(socket.SHUT_RDWR)


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers one request from the state of `hub`."""

    protocol_version = "HTTP/1.1"
    hub: HubServer

    def setup(self):
        super().setup()
        self.connections.append(self.connection)

    def log_message(self, *_):
        pass

    def handle_one(self):
        path = urllib.parse.urlsplit(self.path).path
        authorization = self.headers.get("Authorization", "")
        self.token = authorization.removeprefix("Bearer ") or None
        self.request_line = Request(self.command, path, self.headers.get("Range"), self.token)
        with self.hub.lock:
            self.hub.log.append(self.request_line)
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            for method, pattern, action in ROUTES:
                match = re.fullmatch(pattern, path)
                if match and self.command in method.split():
                    return action(self, *map(urllib.parse.unquote, match.groups()))
            raise Refusal(404, None, f"no such route: {self.command} {path}")
        except Refusal as refusal:
            headers = {"X-Error-Message": refusal.message}
            if refusal.code:
                headers["X-Error-Code"] = refusal.code
            self.reply(json.dumps({"error": refusal.message}).encode(), refusal.status, headers)

    do_GET = do_HEAD = do_POST = do_PUT = handle_one

    def reply(self, content=b"", status=200, headers=(), cut=None):
        self.send_response(status)
        self.request_line.status = status
        for name, value in {"Content-Length": len(content), **dict(headers)}.items():
            self.send_header(name, str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.request_line.sent = len(content[:cut])
            self.wfile.write(content[:cut])
        if cut is not None:
            self.close_connection = True

    def reply_json(self, value, status=200):
        self.reply(json.dumps(value).encode(), status, {"Content-Type": "application/json"})

    def check_token(self):
        if self.token not in (None, WRITER, READER):
            raise Refusal(401, None, "Invalid credentials in Authorization header")

    def repository(self, repo, write=False):
        self.check_token()
        found = self.hub.repositories.get(repo)
        closed = self.hub.faults.closed.get(repo)
        if closed == 403:
            raise Refusal(403, "GatedRepo", f"Access to model {repo} is restricted")
        hidden = found is not None and (found.private or closed == 401) and self.token is None
        if found is None or hidden:
            # The public Hub does not tell strangers which of the two it is.
            raise Refusal(404 if self.token else 401, "RepoNotFound", "Repository not found")
        if write:
            self.may_write()
        return found

    def may_write(self):
        self.check_token()
        if self.token is None:
            raise Refusal(401, None, "Invalid username or password.")
        if self.token != WRITER:
            raise Refusal(403, None, "You don't have the rights to create a model here")

    # What a download asks.

    def resolve(self, repo, revision, path):
        found = self.repository(repo)
        commit = found.resolve(revision)
        if path not in found.commits[commit]:
            raise Refusal(404, "EntryNotFound", "Entry not found")
        content = found.commits[commit][path]
        headers = {"X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
        if not path.endswith(LARGE):
            return self.send_file(path, content, {**headers, "ETag": f'"{git_hash(content)}"'})
        digest = hashlib.sha256(content).hexdigest()
        self.hub.large[digest] = content
        headers["X-Linked-Size"], headers["X-Linked-Etag"] = len(content), f'"{digest}"'
        place = f"http://localhost:{self.hub.port}/cdn/{digest}/{path}"
        self.reply(b"", 302, {**headers, "Location": place})

    def cdn(self, digest, path):
        for _ in range(2000):
            if len(self.hub.asked("HEAD", path)) >= self.hub.faults.gate.get(path, 0):
                break
            time.sleep(0.01)
        self.send_file(path, self.hub.large[digest], {"Accept-Ranges": "bytes"})

    def send_file(self, path, content, headers):
        faults = self.hub.faults
        if path in faults.wrong:
            content = bytes([content[0] ^ 1]) + content[1:]
        status, asked = 200, re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if asked:
            start, total = int(asked[1]), len(content)
            status, content = 206, content[start:]
            headers = {**headers, "Content-Range": f"bytes {start}-{total - 1}/{total}"}
        cut = faults.cut.pop(path, None) if self.command == "GET" else None
        self.reply(content, status, headers, cut)

    def info(self, repo, revision="main"):
        found = self.repository(repo)
        commit = found.resolve(revision)
        files = [{"rfilename": path} for path in found.commits[commit]]
        facts = {"id": repo, "modelId": repo, "sha": commit, "private": found.private}
        self.reply_json({**facts, "siblings": files, "tags": [], "downloads": 0, "likes": 0})

    def commits(self, repo, revision):
        found = self.repository(repo)
        rest = {"message": "", "authors": [], "date": "2025-01-01T00:00:00.000Z"}
        rows = reversed(found.messages.items())
        self.reply_json([{"id": oid, "title": title, **rest} for oid, title in rows])

    # What an upload asks.

    def create(self):
        self.may_write()
        asked = json.loads(self.body)
        repo = f"{asked.get('organization') or 'lab'}/{asked['name']}"
        url = {"url": f"{self.hub.endpoint}/{repo}", "name": repo}
        if repo in self.hub.repositories:
            return self.reply_json({"error": "You already created this model repo", **url}, 409)
        private = asked.get("private", asked.get("visibility") == "private")
        self.hub.repositories[repo] = Repository(private=bool(private))
        self.hub.put(repo, {".gitattributes": b"*.h5 filter=lfs diff=lfs merge=lfs -text\n"})
        self.reply_json(url)

    def validate_yaml(self):
        self.reply_json({"errors": [], "warnings": []})

    def preupload(self, repo, revision):
        self.repository(repo, write=True)
        answer = []
        for file in json.loads(self.body)["files"]:
            # The Hub also tells what it has of each file; without, the client sends them all.
            mode = "lfs" if file["path"].endswith(LARGE) else "regular"
            answer.append({"path": file["path"], "uploadMode": mode, "shouldIgnore": False})
        self.reply_json({"files": answer})

    def lfs_batch(self, repo):
        self.repository(repo, write=True)
        objects = []
        for item in json.loads(self.body)["objects"]:
            item = {"oid": item["oid"], "size": item["size"]}
            if item["oid"] not in self.hub.large:
                place = f"{self.hub.endpoint}/lfs/{item['oid']}"
                verify = {"href": f"{self.hub.endpoint}/lfs-verify"}
                item["actions"] = {"upload": {"href": place}, "verify": verify}
            objects.append(item)
        self.reply_json({"transfer": "basic", "objects": objects})

    def lfs_put(self, digest):
        if hashlib.sha256(self.body).hexdigest() != digest:
            raise Refusal(400, None, "The content has another SHA-256")
        self.hub.large[digest] = self.body
        self.reply()

    def lfs_verify(self):
        asked = json.loads(self.body)
        if len(self.hub.large.get(asked["oid"], b"")) != asked["size"]:
            raise Refusal(404, None, "No such object")
        self.reply_json({})

    def commit(self, repo, branch):
        found = self.repository(repo, write=True)
        changes, message = {}, ""
        for line in self.body.splitlines():
            item = json.loads(line)
            value = item["value"]
            if item["key"] == "header":
                message = value["summary"]
            elif item["key"] == "file":
                changes[value["path"]] = base64.b64decode(value["content"])
            elif item["key"] == "lfsFile":
                changes[value["path"]] = self.hub.large[value["oid"]]
        oid = found.commit(changes, branch, message)
        url = f"{self.hub.endpoint}/{repo}/commit/{oid}"
        self.reply_json({"success": True, "commitOid": oid, "commitUrl": url})

    def branch(self, repo, name):
        found = self.repository(repo, write=True)
        found.refs[name] = found.refs["main"]
        self.reply_json({})


def git_hash(content):
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


REPO, NAME = r"([\w.-]+/[\w.-]+)", r"([^/]+)"

#: Methods, path, what answers.
ROUTES = (
    ("GET HEAD", rf"/{REPO}/resolve/{NAME}/(.+)", Handler.resolve),
    ("GET HEAD", r"/cdn/(\w+)/(.+)", Handler.cdn),
    ("GET", rf"/api/models/{REPO}", Handler.info),
    ("GET", rf"/api/models/{REPO}/revision/{NAME}", Handler.info),
    ("GET", rf"/api/models/{REPO}/commits/{NAME}", Handler.commits),
    ("POST", "/api/repos/create", Handler.create),
    ("POST", "/api/validate-yaml", Handler.validate_yaml),
    ("POST", rf"/api/models/{REPO}/preupload/{NAME}", Handler.preupload),
    ("POST", rf"/{REPO}\.git/info/lfs/objects/batch", Handler.lfs_batch),
    ("PUT", r"/lfs/(\w+)", Handler.lfs_put),
    ("POST", "/lfs-verify", Handler.lfs_verify),
    ("POST", rf"/api/models/{REPO}/commit/{NAME}", Handler.commit),
    ("POST", rf"/api/models/{REPO}/branch/{NAME}", Handler.branch),
)
