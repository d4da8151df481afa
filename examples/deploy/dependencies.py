"""Writes what `cargo metadata` on standard input says about the dependencies of both programs: a CycloneDX 1.5 file,
and a folder with the license files of each crate. Usage: dependencies.py SBOM FOLDER"""

import json
import pathlib
import shutil
import sys

PROGRAMS = {"mistralrs-rsd", "rsd-console"}
LICENSE_FILES = ("LICENSE", "LICENCE", "COPYING", "NOTICE", "UNLICENSE", "COPYRIGHT")


def reached(metadata):
    """The ids of the packages that the programs link or build with, tests left out, with their dependencies."""
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    waiting = [package["id"] for package in metadata["packages"] if package["name"] in PROGRAMS]
    found = {}
    while waiting:
        package = waiting.pop()
        if package in found:
            continue
        kinds = lambda dependency: any(kind["kind"] != "dev" for kind in dependency["dep_kinds"])
        found[package] = sorted(dependency["pkg"] for dependency in nodes[package]["deps"] if kinds(dependency))
        waiting += found[package]
    return found


def component(package, kind):
    entry = {
        "type": kind,
        "bom-ref": reference(package),
        "name": package["name"],
        "version": package["version"],
    }
    if package["license"]:
        entry["licenses"] = [{"expression": package["license"].replace("/", " OR ")}]
    if package["source"]:
        entry["purl"] = reference(package)
    return entry


def reference(package):
    return f"pkg:cargo/{package['name']}@{package['version']}"


def main():
    sbom, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    metadata = json.load(sys.stdin)
    packages = {package["id"]: package for package in metadata["packages"]}
    graph = reached(metadata)
    ordered = sorted(graph, key=lambda each: (packages[each]["name"], packages[each]["version"]))
    unnamed = []
    for each in ordered:
        package = packages[each]
        if package["source"] is None:
            continue
        sources = pathlib.Path(package["manifest_path"]).parent
        files = sorted(path for path in sources.iterdir() if path.is_file() and path.name.upper().startswith(LICENSE_FILES))
        target = folder / f"{package['name']}-{package['version']}"
        target.mkdir(parents=True, exist_ok=True)
        for path in files:
            shutil.copyfile(path, target / path.name)
        if not files:
            (target / "LICENSE").write_text(f"{package['license']}\n{package['repository'] or ''}\n")
        if not package["license"] and not package["license_file"]:
            unnamed.append(package["name"])
    programs = [each for each in ordered if packages[each]["name"] in PROGRAMS]
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": component(packages[programs[0]], "application")},
        "components": [component(packages[each], "library") for each in ordered if each != programs[0]],
        "dependencies": [
            {"ref": reference(packages[each]), "dependsOn": sorted({reference(packages[to]) for to in graph[each]})}
            for each in ordered
        ],
    }
    pathlib.Path(sbom).write_text(json.dumps(document, indent=1) + "\n")
    if unnamed:
        sys.exit(f"without a license: {', '.join(unnamed)}")


main()
