"""One draw of gold clips, and what is made and measured around it."""

from __future__ import annotations

from pathlib import Path

from core.graph import Graph
from flows.sources import Place, Rounds, Sources
from flows.synthio.config import Config
from tasks.measure_synthetic import spec as measure_synthetic
from tasks.stratify import spec as stratify


class Draw(Sources):
    """One draw of ``num_samples`` gold clips, with its sources."""

    def __init__(self, graph: Graph, config: Config, prepared: str, num_samples: int, seed: int, lengths: str, cwd: Path) -> None:
        self.config, self.num_samples, self.seed = config, num_samples, seed
        # The suffix tells the draw's steps from those of other draws; it is empty when it is the only one.
        suffix = f", n={num_samples}, draw {seed}" if len(config.sizes) * len(config.draws) > 1 else ""
        request = stratify.Request(clips=prepared, num_samples=num_samples, seed=seed, settings=config.stratify)
        gold = graph.add("stratify", request, f"stratify{suffix}").output
        super().__init__(graph, config, Place(prepared, gold, lengths, config.dataset.domain, cwd, config.shards, suffix))

    def measured(self, name: str, rounds: Rounds) -> str:
        """Return the folder of a source's measures."""
        extra = tuple(dict.fromkeys([*rounds.lineage, *(folder for folder in rounds.generated if folder not in rounds.accepted)]))
        request = measure_synthetic.Request(
            gold=self.gold, evaluation=self.prepared, clips=rounds.accepted, checkpoint=self.clap(), lineage=extra,
            settings=self.config.measure_synthetic, encoder=self.config.encoder,
        )  # fmt: skip
        return self._add("measure_synthetic", request, f"measure_synthetic {name}")
