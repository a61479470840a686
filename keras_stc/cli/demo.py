"""`keras-stc demo`."""


def register(commands, common):
    pass
