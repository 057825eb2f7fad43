"""What a loader's meter has measured, as a frozen value with a table and a sentence that names the bottleneck."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from audiofeed.feed.states.bus import BusStats

# of a batch, in the order of its way: where it is made, on its way, and what the loop sees of all that
MADE = ("read", "decode", "resample", "collate")
LOOP = ("start", "wait", "step")
STAGES = (*MADE, "transfer", "features", *LOOP)

# a loop that waits for less than this share of its time is bound by its own step
_LITTLE = 0.05
# from this share of all cores on, work beside the step takes time from it
_BESIDE = 0.25

_DOING = {
    "read": "reading", "decode": "decoding", "resample": "resampling", "collate": "collating", "transfer": "copying",
    "features": "the computation of features", "load": "loading",
}  # fmt: skip
_REMEDIES = {
    "read": "a nearer disk, or keep='memory'",
    "decode": "keep='memory'",
    "resample": "files at the rate that is asked for",
    "collate": "batches of equal lengths (batch_seconds=)",
    "transfer": "pin_memory=True",
    "features": "an accelerator, or fewer and longer hops",
    "load": "a faster dataset",
}


@dataclass(frozen=True)
class Stats:
    """Statistics of a loader since it was made or since its meter was reset, as `str` shows them in a table.

    Args:
        seconds: By stage. read, decode, resample and collate: in the process that makes a batch, summed over all of
            them. transfer, features: in the thread that works on the next batches, or in the loop. wait, step: of the
            loop, which together are its whole time.
        batches: Batches that the loop has had.
        clips: Clips in them; 0 if somebody else's batches do not tell.
        audio_seconds: Length of these clips; 0.0 if unknown.
        padding: Share of the batches' samples that is padding, 0 to 1.
        faults: Clips that could not be read, and in whose place others were taken.
        workers: Processes that make batches; 0 if the loop's own does.
        cores: Cores that this process may use.
        choice: What was chosen for the number of workers, and why; "" if nothing was.
        bus: What was copied to a device, bytes per clip and page-locked buffers; all 0 where features are on the CPU.

    >>> stats = Stats({"wait": 3.0, "step": 1.0, "decode": 5.8}, batches=10, clips=640, workers=2, cores=8)
    >>> stats.clips_per_second
    160.0
    >>> stats.bottleneck
    "decoding binds: 2 workers give 160 clips/s, the step takes 640: more workers, or keep='memory'"
    """

    seconds: Mapping[str, float]
    batches: int = 0
    clips: int = 0
    audio_seconds: float = 0.0
    padding: float = 0.0
    faults: int = 0
    workers: int = 0
    cores: int = 1
    choice: str = ""
    bus: BusStats = field(default_factory=BusStats)

    @property
    def elapsed(self) -> float:
        """Seconds that the loader's loop has run: its waits and its own steps, without its pauses."""
        return sum(self.seconds.get(name, 0.0) for name in LOOP)

    @property
    def clips_per_second(self) -> float:
        """Clips that the loader's loop has had in a second of its time; 0.0 before the first step."""
        return self.clips / self.elapsed if self.elapsed else 0.0

    @property
    def audio_per_second(self) -> float:
        """Seconds of audio that the loader's loop has had in a second of its time; 0.0 before the first step."""
        return self.audio_seconds / self.elapsed if self.elapsed else 0.0

    @property
    def binding(self) -> str:
        """Stage that binds the loader's loop: one of `STAGES`; "load" if none was measured, "" before a step."""
        wait, step = self.seconds.get("wait", 0.0), self.seconds.get("step", 0.0)
        if not wait + step:
            return ""
        if wait < _LITTLE * (wait + step):
            return "step"
        on_the_way = {name: self.seconds.get(name, 0.0) for name in ("transfer", "features")}
        making = {name: self.seconds.get(name, 0.0) for name in MADE}
        if sum(on_the_way.values()) > max(sum(making.values()) / max(1, self.workers), wait / 2):
            return max(on_the_way, key=lambda name: on_the_way[name])
        if sum(making.values()) / max(1, self.workers) < wait / 2:
            return "load"  # what nobody measured: a dataset of somebody else's
        return max(making, key=lambda name: making[name])

    @property
    def bottleneck(self) -> str:
        """Sentence that names what binds the loader's loop, and what would help."""
        binding = self.binding
        if not binding:
            return "nothing is measured yet: ask after some batches"
        step, wait = self.seconds.get("step", 0.0), self.seconds.get("wait", 0.0)
        rate = (
            f"{self.clips / (wait + step):.0f} clips/s"
            if self.clips
            else f"{self.batches / (wait + step):.1f} batches/s"
        )
        if binding == "step":
            share = 100 * wait / (wait + step)
            others = sum(self.seconds.get(name, 0.0) for name in (*MADE, "transfer", "features"))
            beside = others / (wait + step)
            text = f"the step binds: it takes {rate} and waits {share:.0f} % of its time"
            if beside < _BESIDE * self.cores:
                return f"{text}: only a faster model helps"
            return (
                f"{text}, while loading and features keep {beside:.1f} of its {self.cores} cores busy: a "
                "faster model, more cores, or keep='memory'"
            )
        takes = (self.clips or self.batches) / step if step else float("inf")
        if self.workers:
            who = f"{self.workers} worker{'s' * (self.workers > 1)} give{'s' * (self.workers == 1)}"
        else:
            who = "the loop's own process gives"
        if binding in ("transfer", "features"):
            who = "it gives"
        doing = _DOING[binding]
        more = "" if binding in ("transfer", "features") else self._more_workers()
        takes_text = f"{takes:.0f}" if takes < 1e6 else "any number"
        return f"{doing} binds: {who} {rate}, the step takes {takes_text}: {more}{_REMEDIES[binding]}"

    def _more_workers(self) -> str:
        if self.workers < self.cores:
            return "more workers, or "
        return f"more cores (there are {self.cores}), or "

    def _repr_html_(self) -> str:
        """Return the page that a notebook shows of a loader's statistics: their table."""
        from audiofeed.drawing.pages import guarded, preformatted

        return guarded(self, lambda stats: preformatted(str(stats)))

    def __str__(self) -> str:
        elapsed = self.elapsed
        lines = [
            f"{self.batches} batches, {self.clips} clips, {self.audio_seconds:.1f} s of audio in {elapsed:.2f} s: "
            f"{self.clips_per_second:.1f} clips/s, {self.audio_per_second:.1f} s of audio/s; "
            f"{100 * self.padding:.1f} % padding, {self.faults} faults",
            f"{'stage':<10} {'seconds':>9} {'ms/batch':>9} {'of the loop':>12}",
        ]
        for name in STAGES:
            seconds = self.seconds.get(name, 0.0)
            share = f"{100 * seconds / elapsed:10.1f} %" if name in LOOP and elapsed else ""
            lines.append(f"{name:<10} {seconds:9.3f} {1000 * seconds / max(1, self.batches):9.2f} {share:>12}".rstrip())
        lines += [str(self.bus)] if self.bus.moved_bytes else []
        lines += [self.choice] if self.choice else []
        return "\n".join([*lines, self.bottleneck])
