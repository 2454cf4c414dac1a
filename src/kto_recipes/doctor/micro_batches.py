"""What the order of rows does to micro-batches: one-class batches, and mismatched pairs that match."""

from dataclasses import dataclass, field


@dataclass
class Count:
    """How many rows something was seen in, and where first."""

    rows: int = 0
    first: str = ""

    def add(self, where: str) -> None:
        self.first = self.first or where
        self.rows += 1


@dataclass(frozen=True, slots=True)
class Answer:
    """A row as far as its place in the order matters; prompt and text are fingerprints."""

    label: bool
    prompt: int
    text: int
    where: str


@dataclass
class MicroBatches:
    """Cuts rows, as they come, into blocks of `size` in which TRL gives each prompt the completion before it.

    The first row of a block gets the last one's (trl 1.9.0, KTOTrainer: "rotating the completions by +1 within
    each batch of size per_device_train_batch_size").
    """

    size: int
    blocks: int = 0
    of_one_class: int = 0
    same_answer: Count = field(default_factory=Count)
    same_prompt: Count = field(default_factory=Count)
    last_is_alone: bool = False
    _block: list[Answer] = field(default_factory=list)

    def add(self, answer: Answer) -> None:
        self._block.append(answer)
        if len(self._block) == self.size:
            self._close()

    def finish(self) -> None:
        """Count the last block, which may be short. Call once, after the last row."""
        self.last_is_alone = len(self._block) == 1 < self.size
        if len(self._block) > 1:
            self._close()

    def _close(self) -> None:
        self.blocks += 1
        self.of_one_class += len({answer.label for answer in self._block}) == 1
        for index, answer in enumerate(self._block):
            before = self._block[index - 1]
            if before.text == answer.text:
                self.same_answer.add(answer.where)
            elif before.prompt == answer.prompt:
                self.same_prompt.add(answer.where)
        self._block = []
