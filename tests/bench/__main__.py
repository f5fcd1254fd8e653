"""``make bench``: every benchmark of this folder, one after the other; one JSON object on stdout."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def main(chosen: list[str]) -> int:
    """Run the benchmarks named (without "bench_"), or all; 1 if one failed."""
    found = sorted(HERE.glob("bench_*.py"))
    names = {path.stem.removeprefix("bench_"): path for path in found}
    unknown = [name for name in chosen if name not in names]
    if unknown:
        sys.stderr.write(f"no benchmark {', '.join(unknown)}; there are {', '.join(names)}\n")
        return 2
    results, failed = {}, False
    for name, path in names.items():
        if chosen and name not in chosen:
            continue
        sys.stderr.write(f"== {name}\n")
        done = subprocess.run([sys.executable, str(path)], stdout=subprocess.PIPE, text=True, check=False)
        failed |= done.returncode != 0
        results[name] = json.loads(done.stdout) if done.returncode == 0 else {"exit_code": done.returncode}
    print(json.dumps(results, indent=1))
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
