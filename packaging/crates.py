"""What goes into the binary: the crates that Cargo resolves for a target, but for tests.

Used by `sbom` and `licences`, so that both tell of the same crates.
"""

import json
import subprocess


def licence(package: dict) -> str:
    """The SPDX expression; older manifests write a slash for `OR`."""
    return (package["license"] or "NOASSERTION").replace("/", " OR ").replace("  ", " ")


def linked(target: str) -> list[dict]:
    """Packages as `cargo metadata` describes them, by name and version."""
    metadata = json.loads(
        subprocess.check_output(
            ["cargo", "metadata", "--format-version", "1", "--locked", "--filter-platform", target]
        )
    )
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    packages = {package["id"]: package for package in metadata["packages"]}
    root = metadata["resolve"]["root"]
    # Without what only tests need.
    used, open_ids = set(), [root]
    while open_ids:
        at = open_ids.pop()
        if at in used:
            continue
        used.add(at)
        for dep in nodes[at]["deps"]:
            if any(kind["kind"] != "dev" for kind in dep["dep_kinds"]):
                open_ids.append(dep["pkg"])
    return sorted((packages[at] for at in used - {root}), key=lambda p: (p["name"], p["version"]))
