"""``python -m benchmarks [WHAT]``: what the gateway costs, beside a bare pass-through in the same run.

WHAT is one of the modules below; without a word it is ``ratios``. Each says at its head what it measures.
"""

import argparse
import sys

from benchmarks import booking, first_byte, lasting, open_streams, profiling, ratios, scale, sharing

PARTS = {
    "ratios": ratios,
    "first-byte": first_byte,
    "streams": open_streams,
    "lasting": lasting,
    "scale": scale,
    "booking": booking,
    "sharing": sharing,
    "profile": profiling,
}


def main() -> None:
    """Run one part."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parts = parser.add_subparsers(dest="part", required=True)
    for name, module in PARTS.items():
        told = (module.__doc__ or "").splitlines()[0].split(": ", 1)[-1]
        module.add_arguments(parts.add_parser(name, help=told, description=module.__doc__))
    words = sys.argv[1:]
    if not words or (words[0].startswith("-") and words[0] not in ("-h", "--help")):
        words = ["ratios", *words]
    options = parser.parse_args(words)
    PARTS[options.part].run(options)


if __name__ == "__main__":
    main()
