"""Writes the config maps of manifests to folders, one file per key, like the kubelet.

Usage: config_maps.py TARGET MANIFEST... Prints the folders.
"""

import sys
from pathlib import Path

import yaml

target = Path(sys.argv[1])
for number, manifest in enumerate(sys.argv[2:]):
    for document in yaml.safe_load_all(Path(manifest).read_text()):
        if document["kind"] == "ConfigMap":
            folder = target / f"{number}-{document['metadata']['name']}"
            folder.mkdir(parents=True)
            for name, text in document["data"].items():
                (folder / name).write_text(text)
            print(folder)
