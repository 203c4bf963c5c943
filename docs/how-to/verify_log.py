"""Checks a log of selfheal with nothing of selfheal: Python's standard library and the `openssl` program (3.0 or later).

    python verify_log.py VKEY DIRECTORY [CHECKPOINT]   every entry of an export, or of a copy of its checkpoint and tile/;
                                                       CHECKPOINT: an older tree head, kept elsewhere, that it must go on from
    python verify_log.py VKEY FILE.tlog-proof          one entry, which is printed

VKEY is the log's public key, from somebody who is not the log. In a directory, what a revoked key has signed from the entry
on that is named does not verify, unless a later key attests it. Exit 0, 1 (it does not verify), 2 (used wrongly).
Formats: c2sp.org/signed-note, tlog-checkpoint, tlog-tiles, tlog-proof; the tree is that of RFC 6962.
"""

import base64
import hashlib
import json
import pathlib
import subprocess
import sys
import tempfile

DER = bytes.fromhex("302a300506032b6570032100")  # what precedes an Ed25519 key in RFC 8410


def leaf_hash(leaf):
    return hashlib.sha256(b"\0" + leaf).digest()


def node_hash(left, right):
    return hashlib.sha256(b"\1" + left + right).digest()


def open_checkpoint(note, vkey):
    """Size and root of a tree head that the key signed."""
    name, _, rest = vkey.partition("+")
    key_hash, _, key = rest.partition("+")
    text, _, signatures = note.rpartition("\n\n")
    text += "\n"
    for line in signatures.splitlines():
        dash, signer, encoded = line.split(" ")
        signature = base64.b64decode(encoded)
        if dash == "\u2014" and signer == name and signature[:4].hex() == key_hash:
            verify_signature(base64.b64decode(key)[1:], text.encode(), signature[4:])
            origin, size, root = text.splitlines()[:3]
            if origin != name:
                raise SystemExit(f"the tree head is of {origin}, not of {name}")
            return int(size), base64.b64decode(root)
    raise SystemExit("the tree head is not signed by this key")


def verify_signature(key, message, signature):
    with tempfile.TemporaryDirectory() as directory:
        files = [pathlib.Path(directory, name) for name in ("key", "message", "signature")]
        for file, data in zip(files, (DER + key, message, signature), strict=True):
            file.write_bytes(data)
        command = ["openssl", "pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-inkey", files[0], "-rawin"]
        if subprocess.run([*command, "-in", files[1], "-sigfile", files[2]], capture_output=True, check=False).returncode:
            raise SystemExit("the signature of the tree head is wrong")


def entries(directory, size):
    """The leaves, from the bundles of tile/entries."""
    for index in range((size + 255) // 256):
        parts, rest = [f"{index % 1000:03}"], index // 1000
        while rest:
            parts.insert(0, f"x{rest % 1000:03}")
            rest //= 1000
        width = min(256, size - 256 * index)
        bundle = pathlib.Path(
            directory, "tile/entries", *parts[:-1], parts[-1] + (f".p/{width}" if width < 256 else "")
        ).read_bytes()
        for _ in range(width):
            length = int.from_bytes(bundle[:2], "big")
            yield bundle[2 : 2 + length]
            bundle = bundle[2 + length :]
        if bundle:
            raise SystemExit(f"bundle {index} holds more than {width} entries")


def roots(leaves, sizes, keys):
    """The root of the tree at each of the sizes, and where each key begins; `keys` is told each leaf that is about the log."""
    peaks, found = [], {}
    for size, leaf in enumerate(leaves, 1):
        if leaf.startswith(b'{"action":"log.') and keys.tell(size - 1, json.loads(leaf)):
            found[size - 1] = root_of(peaks)
        digest, rest = leaf_hash(leaf), size - 1
        while rest & 1:
            digest, rest = node_hash(peaks.pop(), digest), rest >> 1
        peaks.append(digest)
        if size in sizes:
            found[size] = root_of(peaks)
    return found


def root_of(peaks):
    root = peaks[-1] if peaks else b""
    for peak in peaks[-2::-1]:
        root = node_hash(peak, root)
    return root


class Keys:
    """The keys of a log by its entries: log.key begins a reign; log.revoked and log.attested are about one that is over."""

    def __init__(self):
        self.reigns, self.revoked, self.attested = [], {}, []  # [(first index, key id)], key id -> (from, entry, reason)

    def tell(self, index, leaf):
        """Whether a key begins here."""
        payload, begins = leaf["payload"], leaf["action"] == "log.key"
        if begins:
            self.reigns.append((index, payload["vkey"].split("+")[1]))
        elif leaf["action"] == "log.revoked":
            if self.in_force(index) == payload["key"] or payload["key"] not in {key for _, key in self.reigns}:
                raise SystemExit(
                    f"entry {index} revokes key {payload['key']}, which signs it itself, or which this log never had"
                )
            self.revoked[payload["key"]] = min(
                self.revoked.get(payload["key"], (payload["from"] + 1,)), (payload["from"], index, payload["reason"])
            )
        elif leaf["action"] == "log.attested":
            self.attested.append((index, payload))
        return begins

    def in_force(self, index):
        return [key for first, key in self.reigns if first <= index][-1]

    def judge(self, size, found):
        """What a revoked key has signed must be attested."""
        ends = dict(zip([key for _, key in self.reigns], [*[first for first, _ in self.reigns[1:]], size], strict=True))
        for key, (since, entry, reason) in self.revoked.items():
            until = ends[key]
            for index, payload in self.attested:
                signer = self.in_force(index)
                good = signer != key and index < self.revoked.get(signer, (index + 1,))[0]
                if good and payload["key"] == key and (payload["size"], payload["root"]) == (ends[key], b64(found[ends[key]])):
                    until = min(until, payload["from"])
            if since < until:
                which = f"entry {since} is" if until - since == 1 else f"entries {since} to {until - 1} are"
                by = f"signed by key {key}, which entry {entry} revokes from entry {since} on ({reason})"
                raise SystemExit(f"{which} {by}, and no later key attests it")


def b64(data):
    return base64.b64encode(data).decode()


def verify_directory(vkey, directory, *older):
    heads = [open_checkpoint(pathlib.Path(file).read_text(), vkey) for file in (pathlib.Path(directory, "checkpoint"), *older)]
    keys = Keys()
    found = roots(entries(directory, heads[0][0]), {size for size, _ in heads}, keys)
    for size, root in heads:
        if found.get(size) != root:
            raise SystemExit(f"the tree of {size} entries is not the one that was signed")
    keys.judge(heads[0][0], found)
    print(f"good: {heads[0][0]} entries, as signed")


def verify_proof(vkey, file):
    proof, _, note = pathlib.Path(file).read_text().partition("\n\n")
    kind, extra, place, *path = proof.split("\n")
    size, root = open_checkpoint(note, vkey)
    leaf, index = base64.b64decode(extra.removeprefix("extra ")), int(place.removeprefix("index "))
    digest, at, last = leaf_hash(leaf), index, size - 1
    for sibling in map(base64.b64decode, path):  # RFC 9162, 2.1.3.2
        if at & 1 or at == last:
            digest = node_hash(sibling, digest)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            digest = node_hash(digest, sibling)
        at, last = at >> 1, last >> 1
    if kind != "c2sp.org/tlog-proof@v1" or index >= size or last or digest != root:
        raise SystemExit(f"entry {index} is not shown to be in the tree that was signed")
    print(f"good: entry {index} of {size} is\n{leaf.decode()}")


def main(arguments):
    if not 2 <= len(arguments) <= 3:
        print(__doc__, file=sys.stderr)
        return 2
    vkey, what, *older = arguments
    if pathlib.Path(what).is_dir():
        verify_directory(vkey, what, *older)
    else:
        verify_proof(vkey, what)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
