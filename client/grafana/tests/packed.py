"""The zip as Grafana unpacks it, and as its plugin validator (github.com/grafana/plugin-validator) reads it: what of its checks needs neither a network nor
Grafana's own servers. `--all`: a back end for each system that `scripts/grafana pack` promises, and for no other.

    packed.py ZIP [--all]
"""
import hashlib
import json
import re
import struct
import sys
import zipfile
from pathlib import Path

PLUGIN = "sluice-flowql-datasource"
SOURCE = Path(__file__).resolve().parent.parent
TARGETS = {f"{system}_{machine}" for system in ("linux", "darwin", "windows") for machine in ("amd64", "arm64")}
# What a program's first bytes say of the machine it is for: ELF's e_machine, Mach-O's cputype, PE's Machine.
ELF = {62: "amd64", 183: "arm64"}
MACH_O = {0x01000007: "amd64", 0x0100000C: "arm64"}
PE = {0x8664: "amd64", 0xAA64: "arm64"}
# What React 19 has no more, and so Grafana 13.
OLD_REACT = re.compile(r"\.(?:propTypes|defaultProps|contextTypes|childContextTypes)\s*=[^=]|\bfindDOMNode\(|\bReactDOM\.(?:render|hydrate|unmountComponentAtNode)\(|\.createFactory\(|__SECRET_INTERNALS")
# Words of those who build a plugin, which say nothing to those who read about it in a catalogue.
JARGON = re.compile(r"\b(?:npm|npx|yarn|node_modules|webpack|nodejs|mage|go test|jest)\b", re.I)
# By these the validator knows a plugin of the time before React.
LEGACY = re.compile(r"PanelCtrl|QueryCtrl|app/plugins/|angular\.isNumber\(|editor\.html|ctrl\.annotation|getLegacyAngularInjector|System\.register\(|app/core/")


def built_for(program):
    """SYSTEM_MACHINE of a program, or what it is instead."""
    if program[:4] == b"\x7fELF":
        return "linux_" + ELF.get(struct.unpack_from("<H", program, 18)[0], "?")
    if program[:4] == b"\xcf\xfa\xed\xfe":
        return "darwin_" + MACH_O.get(struct.unpack_from("<I", program, 4)[0], "?")
    if program[:2] == b"MZ":
        header = struct.unpack_from("<I", program, 60)[0]
        return "windows_" + PE.get(struct.unpack_from("<H", program, header + 4)[0], "?")
    return "no program"


def main(path, wants_all):
    with zipfile.ZipFile(path) as archive:
        infos = {info.filename: info for info in archive.infolist() if not info.is_dir()}
        read = lambda name: archive.read(f"{PLUGIN}/{name}")
        for name in infos:
            assert name.startswith(PLUGIN + "/") and ".." not in name, f"{name} lies outside of the plugin's folder"
            assert "node_modules" not in name and not name.endswith((".ts", ".tsx", ".go")), f"{name} is a source"
        assert sum(name.endswith("/plugin.json") for name in infos) == 1, "a plugin within the plugin"
        descriptor = json.loads(read("plugin.json"))
        version = descriptor["info"]["version"]
        assert descriptor["id"] == PLUGIN and "%" not in json.dumps(descriptor["info"]), "the version and the day are not filled in"
        assert version == json.loads((SOURCE / "package.json").read_text())["version"], "package.json and plugin.json name two versions"
        assert Path(path).name == f"{PLUGIN}-{version}.zip", "the zip is not called by the plugin and its version"
        wanted = ["module.js", "module.js.map", "README.md", "CHANGELOG.md", "LICENSE", "img/logo.svg", "go_plugin_build_manifest"]
        wanted += [include["path"] for include in descriptor["includes"]] + [shot["path"] for shot in descriptor["info"]["screenshots"]]
        for name in wanted:
            assert infos[f"{PLUGIN}/{name}"].file_size > 0, f"{name} is empty"
        check_programs(archive, infos, descriptor["executable"], wants_all)
        check_page(read("module.js").decode(), json.loads(read("module.js.map")))
        check_texts(read("README.md").decode(), read("CHANGELOG.md").decode(), version)
        logo = read("img/logo.svg").decode()
        assert not re.search(r"<script|<foreignObject|<use|\bon\w+=|href|javascript:|<!ENTITY", logo, re.I), "the logo has more in it than a drawing"
        for shot in descriptor["info"]["screenshots"]:
            assert read(shot["path"])[:8] == b"\x89PNG\r\n\x1a\n", f"{shot['path']} is no PNG"
        check_manifest(read("go_plugin_build_manifest").decode())
        # Signed, it would have one; a plugin that is not must not carry a leftover.
        assert f"{PLUGIN}/MANIFEST.txt" not in infos, "a signature that this build did not make"


def check_programs(archive, infos, executable, wants_all):
    """Grafana starts EXECUTABLE_OS_ARCH, with .exe on Windows, and wants exactly these permissions."""
    found = set()
    for name, info in infos.items():
        base = name.rsplit("/", 1)[-1]
        if not base.startswith(executable):
            continue
        target = base.removeprefix(executable + "_").removesuffix(".exe")
        assert target in TARGETS, f"{base} is for no system that is promised"
        assert base.endswith(".exe") == target.startswith("windows"), f"Grafana would not find {base}"
        assert info.external_attr >> 16 & 0o7777 == 0o755, f"{base} must have the permissions 0755"
        with archive.open(info) as program:
            is_for = built_for(program.read(4096))
        assert is_for == target, f"{base} is for {is_for}"
        found.add(target)
    assert found, "there is no back end"
    assert not wants_all or found == TARGETS, f"back ends are missing: {sorted(TARGETS - found)}"
    print("back ends: " + ", ".join(sorted(found)))


def check_page(page, source_map):
    assert page.startswith("define("), "module.js is no AMD module"
    for outside in ("react", "rxjs", "@grafana/data", "@grafana/ui", "@grafana/runtime"):
        assert f'"{outside}"' in page.split("=>", 1)[0], f"{outside} is not left to Grafana"
    assert len(page) < 300_000, "module.js is too large: something that Grafana has is in it"
    assert not LEGACY.search(page), f"module.js looks like a plugin for Angular: {LEGACY.search(page).group()}"
    assert not OLD_REACT.search(page), f"module.js wants an older React: {OLD_REACT.search(page).group()}"
    hosts = set(re.findall(r"https?://([^/\"'`\s)]+)", page)) - {"127.0.0.1:8080"}
    assert not hosts, f"module.js names other hosts: {hosts}"
    ours = 0
    for name, text in zip(source_map["sources"], source_map["sourcesContent"]):
        inside = re.fullmatch(r"webpack://[^/]+/\./(.+\.tsx?)", name)
        if inside:
            assert (SOURCE / "src" / inside[1]).read_text() == text, f"the source map's {inside[1]} is not the source"
            ours += 1
    assert ours > 10, "the source map has no sources"


def check_texts(readme, changelog, version):
    assert not re.search(r"</[a-z]+>", readme), "README.md has HTML, which is not shown"
    assert not JARGON.search(readme), f"README.md speaks to developers: {JARGON.search(readme).group()}"
    relative = [link for link in re.findall(r"\[.+?\]\((.+?)\)", readme) if not link.startswith(("https://", "#", "mailto:"))]
    assert not relative, f"README.md has links that lead nowhere in a catalogue: {relative}"
    assert f"## {version}" in changelog, "CHANGELOG.md does not know this version"


def check_manifest(text):
    """Hashes of every Go file that lies there, as the SDK's own build writes them."""
    listed = dict(reversed(line.split(":")) for line in text.split("\n") if line)
    there = {str(file.relative_to(SOURCE)): hashlib.sha256(file.read_bytes()).hexdigest() for file in SOURCE.rglob("*.go") if "node_modules" not in file.parts}
    assert listed == there, f"the Go manifest is not of this source: {set(listed.items()) ^ set(there.items())}"
    for name in there:
        code = "" if name.endswith("_test.go") or not name.startswith("pkg/") else (SOURCE / name).read_text()
        # Grafana's reviewers refuse back ends that read files or the environment, or print beside the log.
        assert not re.search(r"\bos\.(Getenv|LookupEnv|Open|ReadFile|Create|WriteFile)\b|\bfmt\.Print|\"(syscall|unsafe|os/exec)\"", code), f"{name} reaches outside"


main(sys.argv[1], "--all" in sys.argv[2:])
print("the zip is one that Grafana installs")
