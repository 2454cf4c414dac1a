"""What each figure in eval.json means, in one sentence; the report prints these."""

DEFINITIONS = {
    "reward_desirable": "Mean implied reward β·(log π(y|x) − log π_ref(y|x)) of the held-out desirable answers, in "
    "nats times β; the reference is the model KTO started from.",
    "reward_undesirable": "The same mean over the held-out undesirable answers.",
    "margin": "reward_desirable − reward_undesirable.",
    "auc": "The chance that a desirable held-out answer has a higher reward than an undesirable one; 0.5 is none.",
    "accuracy_z0": "Share of held-out answers on the right side of the reference point z0 (desirable above, "
    "undesirable below), z0 being max(0, mean reward of mismatched prompt–answer pairs).",
    "kl": "KL(model ‖ reference) per reply in nats: mean of log π(y|x) − log π_ref(y|x) over replies y that the "
    "model itself sampled at temperature 1 to held-out prompts.",
    "length": "Mean length in tokens of the replies sampled at temperature 1.",
    "style_greedy": "Share of greedy replies to held-out prompts that a classifier takes for the persona's.",
    "style_sampled": "The same share over replies sampled at temperature 1.",
}
INTERVAL = "95 % percentile bootstrap over prompts"
STYLE_CLASSIFIER = (
    "Logistic regression on character 1- to 3-grams, trained on the training split: the persona's replies against "
    "other people's messages and fresh replies of the base model; never on the undesirable answers KTO saw."
)
