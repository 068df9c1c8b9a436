"""The KV cache of one replica, block by block, as vLLM's block pool keeps it (docs/model.md, "Steps in chunks").

A block holds so many tokens of one request. Full blocks have a content: all tokens up to their last one. Blocks that
nobody uses keep it until they are taken again, the least recently freed first, and of a request's blocks its last ones
first; until then whoever begins with the same tokens may use them. Blocks in use are shared and counted once. Two
blocks may have the same content, if they were filled at the same time; whoever looks finds the one filled first.
"""

from collections.abc import Hashable, Sequence


class Blocks:
    """`room` blocks, numbered from 0; all of them empty and free at first."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.unused: dict[int, None] = dict.fromkeys(range(room))  # from the least recently freed to the last
        self.users = [0] * room
        self.content: dict[int, Hashable] = {}
        self.places: dict[Hashable, dict[int, None]] = {}  # blocks by content, in the order in which they were filled

    @property
    def free(self) -> int:
        """How many blocks nobody uses, whatever they hold."""
        return len(self.unused)

    def found(self, contents: Sequence[Hashable]) -> list[int]:
        """Blocks with the first of `contents`, as many in a row as there are."""
        blocks = []
        for content in contents:
            places = self.places.get(content)
            if not places:
                break
            blocks.append(next(iter(places)))
        return blocks

    def fit(self, found: Sequence[int], new: int) -> bool:
        """Whether `found` blocks can be used and `new` ones taken beside them."""
        return new + sum(self.users[block] == 0 for block in found) <= self.free

    def share(self, blocks: Sequence[int]) -> None:
        """One more user of each of `blocks`."""
        for block in blocks:
            self.users[block] += 1
            self.unused.pop(block, None)

    def take(self, count: int) -> list[int]:
        """`count` free blocks for one user; what they held is lost."""
        taken = [block for block, _ in zip(self.unused, range(count), strict=False)]
        for block in taken:
            del self.unused[block]
            self.users[block] = 1
            self._forget(block)
        return taken

    def fill(self, block: int, content: Hashable) -> None:
        """`block` is full, and holds `content` from now on."""
        self.content[block] = content
        self.places.setdefault(content, {})[block] = None

    def give_back(self, blocks: Sequence[int]) -> None:
        """A user of `blocks` leaves them, the last one first."""
        for block in reversed(blocks):
            self.users[block] -= 1
            if self.users[block] == 0:
                self.unused[block] = None

    def _forget(self, block: int) -> None:
        if block in self.content:
            content = self.content.pop(block)
            del self.places[content][block]
            if not self.places[content]:
                del self.places[content]
