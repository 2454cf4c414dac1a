"""What the data suggest: KTO or DPO, SFT first or not, weights, β, epochs and batch; each by a rule with its source."""

from dataclasses import dataclass

from kto_recipes.inspect_data.recipe_facts import RecipeFacts
from kto_recipes.inspect_data.repeats import Repeats
from kto_recipes.inspect_data.scan import Side
from kto_recipes.inspect_data.words import count, percent
from kto_recipes.prepare.weights import suggest

PAPER = "KTO paper, arXiv 2402.01306"
OURS = "the limits are this project's"
PAIRED = 0.9  # of the prompts have a desirable and an undesirable answer
CLEAN = 0.01  # at most, of the rows contradict another
BALANCED = 2.0  # times as many rows in the larger class, at most
LARGE = 13.0  # billion parameters
# (fewer rows than, epochs, effective batch); the paper trains one epoch with 32, HALOs allow 8 to 128
SCHEDULES = ((300, 3, 8), (1000, 3, 16), (5000, 2, 32), (float("inf"), 1, 32))


@dataclass(frozen=True)
class Advice:
    """`choice` in a few words, why in this case, the rule that says so, and where the rule is from."""

    topic: str
    choice: str
    reason: str
    rule: str
    source: str


def advise(train: Side, repeats: Repeats, recipe: RecipeFacts | None) -> list[Advice]:
    found = [method(train, repeats), sft(recipe)]
    if train.labels[True] and train.labels[False]:
        found += [weights(train), schedule(train), beta(recipe)]
    return found


def method(train: Side, repeats: Repeats) -> Advice:
    """KTO or DPO."""
    rule = "clean pairs of answers to one prompt: DPO; single votes, unequal classes, noise or contradictions: KTO"
    n_desirable, n_undesirable = train.labels[True], train.labels[False]
    if not n_desirable or not n_undesirable:
        missing = "undesirable" if n_desirable else "desirable"
        return Advice(
            "method",
            "SFT alone, or make undesirable answers and then KTO" if n_desirable else "neither yet",
            f"there are no {missing} answers",
            "KTO's loss needs both classes",
            f"{PAPER}; TRL's documentation of KTOTrainer",
        )
    paired = repeats.paired_prompts / repeats.prompts
    contradictory = repeats.contradictory_rows / train.rows
    larger = max(n_desirable, n_undesirable) / min(n_desirable, n_undesirable)
    source = (
        f"{PAPER}; {OURS}: {percent(PAIRED)} of the prompts paired, {percent(CLEAN)} of the rows contradictory, 1 to 2"
    )
    if sum(train.strategies.values()) > n_undesirable / 2:
        reason = "most undesirable answers were made by a strategy; nobody compared the two answers to a prompt"
        return Advice("method", "KTO", reason, rule, source)
    if paired >= PAIRED and contradictory <= CLEAN and larger <= BALANCED:
        reason = f"{percent(paired)} of the prompts have both a desirable and an undesirable answer, and votes agree"
        return Advice("method", "DPO on the pairs; KTO works, too", reason, rule, source)
    reasons = [
        _unpaired(paired),
        f"{percent(contradictory)} of the rows contradict another" * (contradictory > CLEAN),
        f"one class has {larger:.3g} times as many rows as the other" * (larger > BALANCED),
    ]
    return Advice("method", "KTO", "; ".join(filter(None, reasons)), rule, source)


def _unpaired(paired: float) -> str:
    if paired >= PAIRED:
        return ""
    return f"only {percent(paired)} of the prompts have both kinds of answer" if paired else "no prompt has both kinds"


def sft(recipe: RecipeFacts | None) -> Advice:
    """SFT first or not."""
    rule = "models of about 13B and more, and good recent ones, can skip SFT; smaller ones gain from it"
    first = "SFT first, on desirable answers alone"
    if recipe is None:
        return Advice("SFT", f"{first}, below about 13B", "no recipe was named", rule, PAPER)
    model = recipe.base_model.rsplit("/", 1)[-1]
    if recipe.billions is not None and recipe.billions >= LARGE:
        return Advice(
            "SFT", "optional", f"by its name, {model} has {recipe.billions:g} billion parameters", rule, PAPER
        )
    if recipe.is_instruct:
        reason = f"by its name, {model} follows instructions already; SFT first where the manner of the answers is new"
        return Advice("SFT", "optional", reason, rule, f"{PAPER}, Table 1: Llama-3 8B and Qwen2.5 3B Instruct")
    size = "of unknown size" if recipe.billions is None else f"with {recipe.billions:g} billion parameters"
    return Advice("SFT", first, f"by its name, {model} is a base model {size}", rule, PAPER)


def weights(train: Side) -> Advice:
    found = suggest(train.labels[True], train.labels[False])
    return Advice(
        "weights",
        f"λ_D = {found['desirable']:g}, λ_U = {found['undesirable']:g}",
        f"{found['n_desirable']:,} desirable and {found['n_undesirable']:,} undesirable rows: ratio {found['ratio']:g}",
        "λ_D·n_D / (λ_U·n_U) between 1 and 4/3; lower on purpose where harm must be avoided",
        f"{PAPER}, eq. 9 (to 3/2); TRL's documentation (to 4/3)",
    )


def schedule(train: Side) -> Advice:
    """Epochs and effective batch for this many rows."""
    _, epochs, batch = next(entry for entry in SCHEDULES if train.rows < entry[0])
    steps = -(-train.rows // batch) * epochs
    return Advice(
        "epochs, batch",
        f"{count(epochs, 'epoch')}, effective batch {batch}",
        f"{count(train.rows, 'row')} make {count(steps, 'optimizer step')}",
        "1 epoch with a batch of 32; 2 or 3 epochs for a few thousand rows and fewer; a batch of 8 to 128, in "
        "micro-batches of 4 or more",
        f"{PAPER} (1 epoch, 32); HALOs (8 to 128); TRL (4 or more); {OURS}: 300, 1,000 and 5,000 rows",
    )


def beta(recipe: RecipeFacts | None) -> Advice:
    rule = (
        "0.1 to start; 0.01 to 0.10 just after SFT on the same data; 0.10 to 0.50 for a model that is aligned already"
    )
    if recipe is None:
        return Advice("β", "0.1", "no recipe was named", rule, PAPER)
    if recipe.has_sft:
        choice = "0.1, where both ranges meet" if recipe.is_instruct else "0.05 to 0.1"
        reason = "SFT on the same data comes first" + ", on an aligned model" * recipe.is_instruct
    elif recipe.is_instruct:
        choice, reason = "0.1 to 0.5", "an aligned model is the reference"
    else:
        choice, reason = "0.1", "a base model without SFT is the reference"
    own = f"; the recipe has {recipe.beta:g}" if recipe.beta is not None else ""
    table = "Table 1: Llama-3 8B 0.05 after SFT and 0.10 without, its Instruct model 0.25, Qwen2.5 3B Instruct 0.50"
    return Advice("β", choice, reason + own, rule, f"{PAPER}, {table}")
