"""The Runner: ranks items from pairwise judgements."""
