#!/usr/bin/env python3
"""Export networks with real MindSpore and store what it computes, as goldens for tests.

  export.py --list                             names and sizes of all networks
  export.py NAME... --out DIR                  write DIR/NAME/{model.mindir, in_0.npy.., out_0.npy.., meta.json}
  export.py --set small|large|train|all --out DIR    the same for a whole set; with --missing only those not there yet
  export.py --check DIR/NAME...                run the files again and compare with what is stored
  export.py --ops DIR/NAME...                  which operators the goldens use

Run it with the Python that setup.sh prints.  The layout of a golden is described in tests/goldens/README.md.
"""
import argparse
import os
import sys
import tempfile
import time
import traceback

os.environ.setdefault("DNNL_MAX_CPU_ISA", "AVX2")     # keeps MindSpore off oneDNN's slow reference convolutions
os.environ.setdefault("GLOG_v", "3")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))


def chosen(args):
    """The networks named on the command line or belonging to the set."""
    from nets import MODELS
    unknown = [n for n in args.names if n not in MODELS]
    if unknown:
        sys.exit(f"no such network: {' '.join(unknown)} (see --list)")
    names = args.names or [n for n, (size, _) in MODELS.items() if args.set in (size, "all")]
    return [n for n in names if not (args.missing and os.path.exists(os.path.join(args.out, n, "meta.json")))]


def export_all(names, out):
    """Write the goldens one after another; gives the names that failed."""
    os.chdir(tempfile.mkdtemp())          # MindSpore leaves dumps of failed compilations in the working directory
    import mindspore as ms
    import golden
    from nets import MODELS
    failed = []
    for name in names:
        size, build = MODELS[name]
        start = time.time()
        try:
            ms.set_seed(0)
            meta = golden.write(name, build(), out, size)
            det = meta["determinism"]
            print(f"{name:26} {meta['bytes']:>10} bytes  {len(meta['ops']):3} ops  repeat={det['repeat']} native={det['native']}"
                  f"  {time.time() - start:.1f} s", flush=True)
        except Exception as error:  # noqa: BLE001 - go on with the others
            failed.append(name)
            print(f"{name:26} FAILED: {type(error).__name__}: {str(error)[:600]}", flush=True)
            if os.environ.get("TRACE"):
                traceback.print_exc()
    return failed


def check(folders):
    """Run stored goldens again; gives those that differ by more than their tolerance."""
    import compare
    return [f for f in folders if not compare.report(f)]


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("names", nargs="*")
    ap.add_argument("--out", default=".")
    ap.add_argument("--set", choices=["small", "large", "train", "all"], default="small")
    ap.add_argument("--list", action="store_true")
    ap.add_argument("--missing", action="store_true", help="skip networks whose meta.json is already there")
    ap.add_argument("--check", action="store_true", help="NAMES are folders: run them again and compare")
    ap.add_argument("--ops", action="store_true", help="NAMES are folders: print which operators they use")
    args = ap.parse_args()
    args.out = os.path.abspath(args.out)
    failed = []
    if args.list:
        from nets import MODELS
        print("\n".join(f"{size:6} {name}" for name, (size, _) in MODELS.items()))
    elif args.ops:
        import mindir
        print(mindir.summary([f for f in args.names if os.path.isdir(f)]))
    elif args.check:
        failed = check(args.names)
    else:
        failed = export_all(chosen(args), args.out)
    if failed:
        print("failed:", *failed)
    sys.stdout.flush()
    os._exit(1 if failed else 0)          # MindSpore's teardown prints pages of harmless tracebacks


if __name__ == "__main__":
    main()
