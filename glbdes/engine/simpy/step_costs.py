"""What steps of the SimPy engine take and cost, and what each request pays (docs/model.md, "Steps in chunks")."""

from glbdes.engine.simpy.pool import Pool
from glbdes.engine.simpy.scheduler import Chunk, Scheduler, Step
from glbdes.hardware.chunks import room_tokens
from glbdes.hardware.step_tables import StepTables
from glbdes.hardware.steps import decode_constant, shared_cost, step_cost

Mode = tuple[float, float, float]


class Side:
    """What steps of one profile take on one side of the books, in seconds or in joules: plain numbers."""

    def __init__(self, tokens: list[float], modes: list[Mode], each: Mode, max_batch: int) -> None:
        self.tokens = tokens
        self.decode, self.mixed = modes
        self.each = each
        a, beta, _ = self.decode
        self.constant = [decode_constant(tokens[b], b, a, beta, each[0]) for b in range(max_batch + 1)]

    def of(self, step: Step) -> float:
        """A step with chunks."""
        work = len(step.jobs), len(step.decoding), step.context, step.past, step.square
        return float(step_cost(self.tokens[step.tokens], *work, self.mixed, self.each))

    def share(self, step: Step, own: int) -> float:
        """What everyone pays who has `own` tokens computed in a step with chunks, beside attention and beta."""
        scheduled = len(step.jobs)
        equal = (self.tokens[1] + self.mixed[0] + self.each[0] * scheduled) / scheduled
        return equal + float(shared_cost(self.tokens[step.tokens], self.tokens[1], step.tokens, own))

    def chunk(self, step: Step, chunk: Chunk) -> float:
        """What a chunk's request pays."""
        _, delta, eps = self.each
        own = self.share(step, chunk.tokens)
        return own + delta * (chunk.tokens * chunk.before) + eps * (chunk.tokens * chunk.tokens)


class Rules:
    """What the replicas of a region have in common beside their pool."""

    def __init__(self, pool: Pool, tables: StepTables, profile: int) -> None:
        self.budget = tables.budget
        self.block_tokens = tables.block_tokens
        self.whole_prompts = tables.whole_prompts
        self.room_tokens = room_tokens(pool.kv_tokens, tables.block_tokens)

        def side(tokens: str, modes: str, each: str) -> Side:
            table, kinds, terms = (getattr(tables, name)[profile].tolist() for name in (tokens, modes, each))
            return Side(table, kinds, terms, pool.max_batch)

        self.seconds = side("tokens_s", "modes_s", "each_s")
        self.joules = side("tokens_j", "modes_j", "each_j")

    def scheduler(self, pool: Pool) -> Scheduler:
        """An empty one."""
        blocks = pool.kv_tokens // self.block_tokens
        return Scheduler(pool.max_batch, self.budget, blocks, self.block_tokens, self.whole_prompts)
