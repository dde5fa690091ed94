"""Lists of the state with a largest size."""

MOST_ENTRIES = 20


def keep(entries, entry):
    """Appends an entry; above the limit, the least useful of the earlier ones goes."""
    if len(entries) >= MOST_ENTRIES:
        del entries[min(range(len(entries)), key=lambda place: (use(entries[place]), place))]
    entries.append(entry)


def use(entry):
    """How often an entry helped, less how often it did harm; 0 where that is not counted."""
    if not isinstance(entry, dict):
        return 0
    return entry.get("helpful", 0) - entry.get("harmful", 0)
