"""Write the dashboards into a folder."""

import sys
from pathlib import Path

from tools.monitoring import dashboards

for name, text in dashboards.files().items():
    (Path(sys.argv[1]) / name).write_text(text)
