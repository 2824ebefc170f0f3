"""Compares attractor with PyTorch: `run.py [planner|flow|qr|exponents|mppi] [options]`, all where none is named.

`run.py NAME --help` lists the options of one; without a name only those that all have.
"""

import json
import sys

import batched_qr
import exponents
import flow_policy
import mppi
import remdm_planner
from side_by_side import common_arguments

WORKLOADS = {"planner": remdm_planner, "flow": flow_policy, "qr": batched_qr, "exponents": exponents, "mppi": mppi}


def main():
    words = sys.argv[1:]
    if words and words[0] in WORKLOADS:
        chosen, words = [words[0]], words[1:]
    else:
        chosen = list(WORKLOADS)
        # One option of the same name may mean two things: only what all share goes to all.
        common_arguments(__doc__).parse_args(words)
    # All are parsed before any is run: a wrong option costs no measurement.
    options = {name: WORKLOADS[name].arguments(words) for name in chosen}
    results, wrong = {}, []
    for name in chosen:
        results[name], fault = WORKLOADS[name].run(options[name])
        if fault:
            wrong.append(f"{name}: {fault}")
    file = options[chosen[0]].json
    if file:
        file.write_text(json.dumps(results, indent=1))
    if wrong:
        sys.exit("; ".join(wrong))


if __name__ == "__main__":
    main()
