"""Look into the data, at results and at what is learned."""

COMMANDS = {
    "cell": "all that is known of one result",
    "query": "what each method ranked on top for one query, and why",
    "leakage": "training rows that repeat what a test judges by",
    "alignment": "how well methods align words, before and after training",
    "statistics": "numbers and lengths of texts, counted again",
}
