import time

from core import heartbeat
from core.heartbeat import Heartbeat, Watch


def test_watch_ends_with_the_block_and_when_the_beat_stops(tmp_path, monkeypatch):
    monkeypatch.setattr(heartbeat, "BEAT_EVERY_S", 0.05)
    path = tmp_path / "runs" / "x" / "heartbeat"
    with Heartbeat(path) as beat:
        watch = Watch(beat.path, patience_s=0.6)
        for _ in range(15):
            assert not watch()
            time.sleep(0.1)
    assert watch(), "the file is gone"
    path.write_text("7\n")  # what a killed process leaves behind
    stale = Watch(path, patience_s=0.3)
    assert not stale()
    time.sleep(0.4)
    assert stale()
