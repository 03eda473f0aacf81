"""What `submit` is measured against: every file of FOLDER read, hashed, verified. `python plain_reading.py FOLDER`."""

import hashlib
import sys
from io import BytesIO
from pathlib import Path

from PIL import Image

for path in sorted(Path(sys.argv[1]).glob("*/*")):
    data = path.read_bytes()
    hashlib.sha256(data)
    with Image.open(BytesIO(data)) as image:
        image.verify()
