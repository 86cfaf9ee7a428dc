import itertools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from core.errors import InvalidValueError, SynthloomError
from tasks.renderer.pool import AHEAD, Job, Pool
from tests.plugins.building import FAULT, FAULTS
from tests.tasks.renderer.jobs import SHORT, jobs, rms, sounds

ROOT = Path(__file__).resolve().parents[3]
PROGRAM = """
import sys
from tasks.renderer.pool import Pool
from tests.tasks.renderer.jobs import SHORT, jobs
with Pool("pedalboard", sys.argv[1], SHORT, timeout_s=600) as pool:
    for number, outcome in enumerate(pool.render(jobs(2, {1: "hang"}))):
        print(pool._workers[0]._process.pid, flush=True)
"""


def children(pool):
    return [worker._process.pid for worker in pool._workers if worker._process]


def is_there(pid):
    """Whether a process is there and alive; the dead that nobody has asked after do not count."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def until_gone(pids, limit_s=20):
    deadline = time.monotonic() + limit_s
    while any(map(is_there, pids)):
        assert time.monotonic() < deadline, f"{pids} are still there"
        time.sleep(0.05)


def test_faults_cost_their_preset_and_nothing_else(small_synth):
    faults = {2: "crash", 5: "nan", 6: "silence", 8: "crash"}
    with Pool("pedalboard", small_synth, SHORT, workers=2, timeout_s=60) as pool:
        outcomes = list(pool.render(jobs(12, faults)))
        whole = sounds(pool.render(jobs(12)))
    assert [one.id for one in outcomes] == list(range(12)), "in the jobs' order"
    assert [one.status for one in outcomes] == ["ok", "ok", "crash", "ok", "ok", "error", "ok", "ok", "crash", "ok", "ok", "ok"]
    assert "SIGSEGV" in outcomes[2].reason and "about to crash" in outcomes[2].reason, "with its last words"
    assert outcomes[5].reason == "not finite" and outcomes[5].audio is None
    assert rms(outcomes[6].audio) == 0
    assert all(sounds([one])[one.id] == whole[one.id] for one in outcomes if one.id not in faults)
    assert all(0 < one.seconds < 60 for one in outcomes if one.status == "ok")


def test_what_freezes_is_killed_by_the_clock(small_synth):
    with Pool("pedalboard", small_synth, SHORT, timeout_s=3) as pool:
        before = children(pool)
        started = time.monotonic()
        hung, after = pool.render(jobs(2, {0: "hang"}))
        assert 3 <= time.monotonic() - started < 20
        assert (hung.status, hung.tries, after.status) == ("hang", 1, "ok") and "within 3 s" in hung.reason
        until_gone(before)


def test_a_preset_after_others_gets_a_second_try_in_a_new_process(small_synth):
    with Pool("pedalboard", small_synth, SHORT) as pool:
        first, crashed = pool.render(jobs(2, {1: "crash"}))
        assert (first.tries, crashed.tries, crashed.status, pool.started) == (1, 2, "crash", 2)


def test_orders_that_a_dead_process_had_are_given_out_again_and_not_blamed(small_synth):
    with Pool("pedalboard", small_synth, SHORT) as pool:
        outcomes = list(pool.render(jobs(AHEAD, {0: "crash"})))
        assert [(one.status, one.tries) for one in outcomes] == [("crash", 1), *[("ok", 1)] * (AHEAD - 1)]
        assert pool.started == 2


def test_a_caller_may_take_longer_than_a_preset(small_synth):
    with Pool("pedalboard", small_synth, SHORT, timeout_s=1) as pool:
        for outcome in pool.render(jobs(6)):
            time.sleep(1.2)
            assert outcome.status == "ok"
        assert pool.started == 1


def test_a_pool_goes_on_after_a_caller_has_left_in_the_middle(small_synth):
    with Pool("pedalboard", small_synth, SHORT, workers=2) as pool:
        whole = sounds(pool.render(jobs(9)))
        left = pool.render(jobs(9))
        assert next(left).id == 0
        left.close()
        assert sounds(pool.render(jobs(9))) == whole and pool.started == 2


def test_presets_of_more_parameters_than_a_pipe_holds(small_synth):
    many = dict.fromkeys(range(20, 8000), 0.5)
    with Pool("pedalboard", small_synth, SHORT, timeout_s=20) as pool:
        outcomes = list(pool.render(Job(number, many) for number in range(6)))
    assert [one.status for one in outcomes] == ["error"] * 6 and "no such parameter" in outcomes[0].reason


def test_a_pool_that_was_left_says_so(small_synth):
    with Pool("builtin", "voice", SHORT) as pool:
        outcomes = pool.render(jobs(2))
    with pytest.raises(SynthloomError, match="closed"):
        next(outcomes)


def test_outcomes_do_not_hang_on_the_number_of_processes_or_on_their_replacement(small_synth):
    found = []
    for workers, renders in ((1, 1000), (2, 3)):
        with Pool("pedalboard", small_synth, SHORT, workers=workers, recycle_renders=renders) as pool:
            found.append(sounds(pool.render(jobs(10))))
            assert pool.started >= (1 if renders == 1000 else 4)
    assert found[0] == found[1]


def test_processes_that_grow_are_replaced(small_synth):
    with Pool("pedalboard", small_synth, SHORT) as pool:
        list(pool.render(jobs(1)))
        plain_mb = pool._workers[0].memory_mb
    with Pool("pedalboard", small_synth, SHORT, recycle_mb=plain_mb + 10) as pool:
        outcomes = list(pool.render(jobs(16, dict.fromkeys(range(16), "leak"))))
        assert all(one.status == "ok" for one in outcomes)
        assert 2 <= pool.started <= 6, "2 MB a note"


def test_few_jobs_are_taken_ahead(small_synth):
    taken = []

    def endless():
        for number in itertools.count():
            taken.append(number)
            yield Job(number, {})

    with Pool("pedalboard", small_synth, SHORT, workers=2) as pool:
        outcomes = pool.render(endless())
        assert [next(outcomes).id for _ in range(3)] == [0, 1, 2]
        assert len(taken) <= 3 + 2 * AHEAD
        outcomes.close()
        left = children(pool)
    until_gone(left)


def test_children_have_a_home_of_their_own_and_no_display(small_synth, monkeypatch):
    monkeypatch.setenv("DISPLAY", ":77")
    with Pool("pedalboard", small_synth, SHORT) as pool:
        told = Path(f"/proc/{children(pool)[0]}/environ").read_bytes().decode().split("\0")
        values = dict(item.split("=", 1) for item in told if item)
        home = Path(values["HOME"])
        assert home.is_dir() and home != Path.home() and (home / ".local" / "share").is_dir()
        assert "DISPLAY" not in values and values["OMP_NUM_THREADS"] == "1"
    assert not home.exists()


def test_a_preset_the_back_end_refuses_is_an_error_of_its_own(small_synth):
    with Pool("pedalboard", small_synth, SHORT) as pool:
        wrong, right = pool.render([Job("wrong", {99: 0.5}), Job("right", {})])
        assert wrong.status == "error" and "no such parameter" in wrong.reason and right.status == "ok"
        assert pool.started == 1


def test_a_plug_in_that_ends_its_process_while_loading_is_said_so(tmp_path):
    broken = tmp_path / "X.vst3"
    (broken / "Contents" / "x86_64-linux").mkdir(parents=True)
    (broken / "Contents" / "x86_64-linux" / "X.so").write_bytes(b"\x7fELF no more")
    with pytest.raises(InvalidValueError, match="cannot be opened"), Pool("pedalboard", str(broken)):
        pass


def test_processes_die_with_a_killed_parent_even_when_frozen(small_synth, tmp_path):
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, small_synth], cwd=ROOT, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)},
    )  # fmt: skip
    try:
        child = int(program.stdout.readline())
        time.sleep(0.5)  # into the preset that never ends
        assert is_there(child)
    finally:
        program.send_signal(signal.SIGKILL)
        program.wait()
    until_gone([child])


def test_leaving_the_pool_kills_what_is_under_way(small_synth):
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt), Pool("pedalboard", small_synth, SHORT, workers=2, timeout_s=600) as pool:
        for _ in pool.render([Job(0, {}), *(Job(number, {FAULT: FAULTS["hang"]}) for number in range(1, 12))]):
            left = children(pool)
            raise KeyboardInterrupt
    assert time.monotonic() - started < 30
    until_gone(left)


@pytest.mark.parametrize("wrong", [{"workers": 0}, {"timeout_s": 0.0}, {"recycle_renders": 0}, {"recycle_mb": 0.0}])
def test_limits_that_cannot_be_are_refused_by_name(wrong):
    with pytest.raises(InvalidValueError, match=f"pool.{next(iter(wrong))}"):
        Pool("builtin", **wrong)
