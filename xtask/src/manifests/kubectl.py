"""Extracts `kubectl` from the package that contains it to the folder of this Python's programs."""

import io
import sys
import tarfile
import zipfile
from pathlib import Path

environment = Path(sys.prefix)
[package] = environment.glob("lib/python3*/site-packages/aws_cdk/*/_jsii/*.tgz")
with tarfile.open(package) as archive:
    layer = zipfile.ZipFile(io.BytesIO(archive.extractfile("package/lib/layer.zip").read()))
partial = environment / "bin/kubectl.partial"
partial.write_bytes(layer.read("kubectl/kubectl"))
partial.chmod(0o755)
partial.rename(environment / "bin/kubectl")
