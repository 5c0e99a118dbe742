"""Archives of cpio's "newc" format, as an initrd is one; lib/cpio.c reads them in the guest."""


def _entry(name, data, mode):
    said = name.encode("ascii") + b"\0"
    header = "070701" + "".join(f"{field:08x}" for field in (0, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(said), 0))
    entry = header.encode("ascii") + said
    entry += b"\0" * (-len(entry) % 4) + data
    return entry + b"\0" * (-len(entry) % 4)


def archive(files):
    """The archive of these files: {name: bytes}."""
    return b"".join([*(_entry(name, data, 0o100644) for name, data in files.items()), _entry("TRAILER!!!", b"", 0)])
