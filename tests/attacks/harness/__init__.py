"""What every cheat needs: a repository of its own, programs that cheat, a judge."""
