"""Prompts and answers of calm traffic: templates written for this project, by business domain, in English, German and French."""

from __future__ import annotations

from typing import Final

import numpy as np

# Language of a prompt: English in most calls.
LANGUAGE_SHARES: Final = (("en", 0.76), ("de", 0.14), ("fr", 0.10))

TEMPLATES: Final[dict[str, dict[str, tuple[str, ...]]]] = {
    "support": {
        "en": (
            "My {item} arrived {days} days late and the box was open. What can I do about order {number}?",
            "Write a friendly answer to a customer whose {item} stopped working after {days} days.",
            "Summarise this ticket in two sentences: the {item} makes a noise when it starts, the customer has restarted it {days} times.",
            "Which documents does a customer need to return a {item} bought {days} days ago?",
        ),
        "de": (
            "Mein {item} kam {days} Tage zu spät an. Wie bekomme ich für die Bestellung {number} mein Geld zurück?",
            "Fasse die Beschwerde des Kunden über den {item} in drei Stichpunkten zusammen.",
        ),
        "fr": ("Mon {item} est arrivé avec {days} jours de retard. Que puis-je faire pour la commande {number} ?",),
    },
    "finance": {
        "en": (
            "Compare the revenue of the last {days} weeks with the plan and name the three largest differences.",
            "Explain to a branch employee why a transfer of {number} euros to a new payee is held for review.",
            "Draft a short market note about {topic} for private clients, neutral tone, at most {days}0 words.",
            "List the questions that an auditor would ask about {topic} in a regional bank.",
        ),
        "de": ("Erkläre einem Filialmitarbeiter in {days} Sätzen, was bei {topic} zu beachten ist.",),
        "fr": ("Résume en {days} phrases les risques liés à {topic} pour un client particulier.",),
    },
    "health": {
        "en": (
            "Turn these visit notes into a letter: patient reports mild headache for {days} days, no fever, sleeps well.",
            "Which questions should a nurse ask before an appointment about {topic}?",
            "Explain in plain words how to prepare for a blood test in the morning, at most {days} sentences.",
            "List what has to be in a discharge summary after a stay of {days} days.",
        ),
        "de": ("Formuliere eine Erinnerung an den Termin in {days} Tagen, freundlich und kurz.",),
        "fr": ("Explique simplement comment se préparer à une prise de sang, en {days} phrases.",),
    },
    "retail": {
        "en": (
            "Write a product text of {days}0 words for a {item}, for people who buy one for the first time.",
            "Find a gift for a colleague who likes {topic}, below {number} euros.",
            "Which {item} fits a small flat? Name three and compare size, noise and price.",
            "Suggest five search terms for customers who look for a {item} that lasts.",
        ),
        "de": ("Schreibe einen Produkttext über einen {item} in {days} Sätzen.", "Welcher {item} passt zu einer kleinen Wohnung?"),
        "fr": ("Propose trois idées de cadeau autour de {topic} pour moins de {number} euros.",),
    },
    "code": {
        "en": (
            "Why does this loop never end? count = {days}; while count > 0: print(count)",
            "Write a unit test for a function that merges {days} sorted lists.",
            "The nightly job {number} fails with a connection timeout after {days} minutes. Which logs should I read first?",
            "Refactor a class with {days} responsibilities into smaller ones; explain each step.",
        ),
        "de": ("Erkläre den Unterschied zwischen einem Index und einer Sicht an einem Beispiel mit {days} Tabellen.",),
        "fr": ("Écris une requête qui compte les commandes des {days} derniers jours par client.",),
    },
    "people": {
        "en": (
            "How many days of leave are left after {days} days of parental leave this year?",
            "Draft an invitation to a workshop about {topic} for a team of {days}.",
            "Which steps come first when a new colleague starts in {days} days?",
        ),
        "de": ("Wie beantrage ich {days} Tage Urlaub, wenn mein Vorgesetzter krank ist?",),
        "fr": ("Rédige une invitation à un atelier sur {topic} pour une équipe de {days} personnes.",),
    },
    "legal": {
        "en": (
            "List the notice periods in a lease with a term of {days} years and say which paragraph each comes from.",
            "Compare clause {days} of both drafts and name what changed for the buyer.",
            "Summarise the liability section of contract {number} for a reader without legal training.",
        ),
        "de": ("Welche Fristen nennt Paragraf {days} des Entwurfs {number}?",),
        "fr": ("Quelles obligations l'article {days} du contrat {number} crée-t-il pour le vendeur ?",),
    },
    "travel": {
        "en": (
            "Plan {days} days in Lisbon for a family with two children who like {topic}.",
            "Which train connections from Vienna to Zurich need fewer than {days} changes?",
            "Pack list for {days} days of hiking in autumn, at most {number} grams.",
        ),
        "de": ("Plane {days} Tage in Wien für zwei Personen, die {topic} mögen.",),
        "fr": ("Propose un itinéraire de {days} jours en Bretagne à vélo.",),
    },
}

ITEMS: Final = (
    "dishwasher",
    "headset",
    "coffee grinder",
    "desk lamp",
    "rain jacket",
    "router",
    "keyboard",
    "bicycle light",
    "kettle",
    "monitor",
)
TOPICS: Final = (
    "jazz",
    "index funds",
    "home gardening",
    "energy prices",
    "chess",
    "sleep",
    "rural schools",
    "ceramics",
    "supply chains",
    "running",
)
ANSWERS: Final = (
    "Here is a short answer: start with the first point, check the date, then contact the responsible team.",
    "There are three options. The second one is the cheapest and needs no further approval.",
    "I have put the result in a list, with the open questions at the end.",
    "Gern. Die wichtigsten Punkte stehen oben, die Einzelheiten folgen darunter.",
    "Voici un résumé en quelques phrases, avec les points à vérifier.",
    "Both drafts agree except for one paragraph; the difference is explained below.",
    "Done. The example runs as it is and prints the expected numbers.",
)
FILLER: Final = (
    " Please keep the tone calm and the sentences short, mention every figure with its unit,"
    " and say which part of the answer is certain and which is an estimate."
)


class PromptWriter:
    """Draws prompts of a domain with its own random source, so that text does not disturb the other draws."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._languages = [name for name, _ in LANGUAGE_SHARES]
        self._cumulative = np.cumsum([share for _, share in LANGUAGE_SHARES])

    def draw(self, domains: list[str]) -> list[tuple[str, str]]:
        """One (prompt, language) for each domain named."""
        n = len(domains)
        language = np.searchsorted(self._cumulative, self._rng.random(n) * self._cumulative[-1]).tolist()
        picks = self._rng.integers(0, 1 << 30, (n, 5)).tolist()
        result = []
        for domain, lang, (template, item, topic, days, number) in zip(domains, language, picks, strict=True):
            name = self._languages[lang]
            choices = TEMPLATES[domain][name]
            text = choices[template % len(choices)].format(
                item=ITEMS[item % len(ITEMS)], topic=TOPICS[topic % len(TOPICS)], days=2 + days % 18, number=100 + number % 9000
            )
            result.append((text, name))
        return result


def fit_text(text: str, size: int) -> str:
    """The text cut or filled up to exactly `size` UTF-8 bytes (at least 1)."""
    size = max(size, 1)
    data = text.encode()
    if len(data) < size:
        filler = FILLER.encode()
        missing = size - len(data)
        data += (filler * (missing // len(filler) + 1))[:missing]
        return data.decode()
    # A cut inside a character leaves an incomplete tail; it is replaced by dots, so that the size stays exact.
    kept = data[:size].decode(errors="ignore")
    return kept + "." * (size - len(kept.encode()))
