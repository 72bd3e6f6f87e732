"""Look for inputs that break a property of tests/targets.py, and grow the corpus by those that reach new code.

    python -m tests.fuzz [--seconds N] [TARGET …]

Each target runs for N seconds, from its folder of tests/corpus/ and led by the coverage of the store's own code:
https://llvm.org/docs/LibFuzzer.html. Then what was found is made anew of as few and as short inputs as reach the same
code. Those are the files whose names are digests; the others were written by hand, or once broke something, and stay.
An input that breaks something now is kept as `crash-…`, `timeout-…` or `oom-…`, and the tests fail until it does not.
"""

from __future__ import annotations

import argparse
import logging
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"
MAX_INPUT_BYTES = 2048
_is_digest = re.compile("[0-9a-f]{40}").fullmatch
# Says to a child of this process, which libFuzzer itself starts, too, which target is its.
_IN_CHILD = "FUZZ_TARGET"


def main() -> None:
    if find_spec("atheris") is None:
        sys.exit("There is no atheris for this machine: requirements-dev.in says for which there is.")
    targets = sorted(path.name for path in CORPUS.iterdir())
    parser = argparse.ArgumentParser(description="Grow tests/corpus/.")
    parser.add_argument("targets", metavar="TARGET", nargs="*", help=f"one of {', '.join(targets)}; all without any")
    parser.add_argument("--seconds", type=int, default=60, help="for each target (60)")
    options = parser.parse_args()
    if unknown := set(options.targets) - set(targets):
        parser.error(f"no such target: {', '.join(sorted(unknown))}")
    broken = [name for name in options.targets or targets if not _grow(name, CORPUS / name, options.seconds)]
    if broken:
        sys.exit(f"Broken: {', '.join(broken)}. What broke them is in tests/corpus/.")


def _grow(name: str, corpus: Path, seconds: int) -> bool:
    """Run a target and make its folder anew; return whether nothing broke."""
    before = set(corpus.iterdir())
    found = {path for path in before if _is_digest(path.name)}
    with tempfile.TemporaryDirectory() as folder:
        new, kept = Path(folder, "new"), Path(folder, "kept")
        new.mkdir()
        kept.mkdir()
        status = _run(name, folder, f"-max_total_time={seconds}", f"-artifact_prefix={corpus}/", str(new), str(corpus))
        broken = set(corpus.iterdir()) - before
        if status and not broken:
            sys.exit(f"{name}: the fuzzer failed.")
        if not broken:
            for path in before - found:
                shutil.copy(path, kept)
            # By which code is reached, not by how often: fewer files.
            if _run(name, folder, "-merge=1", "-use_counters=0", str(kept), str(corpus), str(new)):
                sys.exit(f"{name}: the fuzzer failed to make the corpus anew.")
            for path in found:
                path.unlink()
            shutil.copytree(kept, corpus, dirs_exist_ok=True)
    print(f"{name}: {len(list(corpus.iterdir()))} inputs, {len(broken)} of them new that break it", flush=True)
    return not broken


def _run(name: str, folder: str, *arguments: str) -> int:
    environ = {**os.environ, _IN_CHILD: name, "LOGSTORE_AUTH": "open", "TMPDIR": folder}
    environ["DJANGO_SETTINGS_MODULE"] = "logstore_project.settings"
    limits = (f"-max_len={MAX_INPUT_BYTES}", "-len_control=0", "-timeout=20", "-rss_limit_mb=4096")
    return subprocess.run(
        [sys.executable, "-m", "tests.fuzz", *limits, *arguments], env=environ, check=False
    ).returncode


def _fuzz(name: str) -> None:
    import atheris

    # In the folder of main(), for this process never comes to clear up.
    os.environ["DATABASE_URL"] = f"sqlite:///{tempfile.mkdtemp()}/fuzz.sqlite3"
    with atheris.instrument_imports(include=["logs", "logstore_project"]):
        import django

        django.setup()
        from tests.targets import World, try_out
    from django.conf import settings
    from django.core.management import call_command
    from django.db import transaction

    # Of a fault the log tells the story.
    logging.disable(logging.WARNING)
    settings.CACHES = dict.fromkeys(settings.CACHES, settings.CACHES["process"])
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    settings.ALLOWED_HOSTS = [*settings.ALLOWED_HOSTS, "testserver"]
    call_command("migrate", verbosity=0)
    whole_run = transaction.atomic()
    # As that of Django's own tests is, so that a durable one may stand in it.
    whole_run._from_testcase = True  # type: ignore[attr-defined]
    whole_run.__enter__()
    world = World()
    # As whom libFuzzer starts this again, by a shell.
    atheris.Setup(
        [shlex.join([sys.executable, "-m", "tests.fuzz"]), *sys.argv[1:]], lambda data: try_out(world, name, data)
    )
    atheris.Fuzz()


if __name__ == "__main__":
    if _IN_CHILD in os.environ:
        _fuzz(os.environ[_IN_CHILD])
    else:
        main()
