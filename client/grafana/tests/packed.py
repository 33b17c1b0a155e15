"""The zip as Grafana unpacks it: one folder of the plugin's name, its descriptor, its page, and a back end that may be run."""
import json
import sys
import zipfile

PLUGIN = "sluice-flowql-datasource"

with zipfile.ZipFile(sys.argv[1]) as archive:
    names = set(archive.namelist())
    for name in names:
        assert name.startswith(PLUGIN + "/") and ".." not in name, f"{name} lies outside of the plugin's folder"
        assert "node_modules" not in name and not name.endswith((".ts", ".tsx", ".go")), f"{name} is a source"
    descriptor = json.loads(archive.read(f"{PLUGIN}/plugin.json"))
    assert descriptor["id"] == PLUGIN and "%" not in json.dumps(descriptor["info"]), "the version and the day are not filled in"
    wanted = ["module.js", "README.md", "CHANGELOG.md", "LICENSE", "img/logo.svg", "go_plugin_build_manifest"]
    wanted += [include["path"] for include in descriptor["includes"]] + [shot["path"] for shot in descriptor["info"]["screenshots"]]
    for path in wanted:
        assert f"{PLUGIN}/{path}" in names, f"{path} is missing"
    programs = [info for info in archive.infolist() if info.filename.startswith(f"{PLUGIN}/{descriptor['executable']}_")]
    assert programs, "there is no back end"
    for info in programs:
        assert info.external_attr >> 16 & 0o111, f"{info.filename} may not be run"
    page = archive.read(f"{PLUGIN}/module.js").decode()
    assert page.startswith("define("), "module.js is no AMD module"
    for outside in ("react", "rxjs", "@grafana/data", "@grafana/ui", "@grafana/runtime"):
        assert f'"{outside}"' in page.split("=>", 1)[0], f"{outside} is not left to Grafana"
    assert len(page) < 300_000, "module.js is too large: something that Grafana has is in it"
print("the zip is one that Grafana installs: " + ", ".join(sorted(info.filename for info in programs)))
