"""The model of Davidson (1970): Bradley-Terry with ties.

With item strengths s (logarithms) and a tie parameter nu, the outcomes of a judgement of a and b
have probabilities in the ratio

    a wins : b wins : tie  =  exp(s_a) : exp(s_b) : nu exp((s_a + s_b) / 2)

It is an exponential family: the counts of outcomes by pair are sufficient statistics, the
log-likelihood is concave in (s, log nu), and without ties it is Bradley-Terry's model with nu = 0.
The model of Rao and Kupper (1967) has neither fixed sufficient statistics nor an odds of winning
that is independent of the ties. The fit is a maximum a posteriori estimate by Newton's method with
step halving. The inverse of the observed information at the maximum, prior included, is the
covariance of the estimate.
"""

from math import exp, inf, log
from typing import NamedTuple

from runner.linear import Matrix, Vector, cholesky, dot, inverse, solve

MOST_STEPS = 100
SMALLEST_STEP = 1e-10


class Pair(NamedTuple):
    """The outcomes of the judgements of two items, which are given by number."""

    first: int
    second: int
    wins: int
    losses: int
    ties: int

    @property
    def judgements(self) -> int:
        """How often the pair was judged."""
        return self.wins + self.losses + self.ties


class Prior(NamedTuple):
    """The prior of each strength, by kind, and of log nu: Gaussian, mean 0, precision `ties`.

    `gaussian`: mean 0 and precision `strength`. `gamma`: exp(s) has shape 1 + `strength` and rate
    `strength` (Caron and Doucet, 2012); its mode is at s = 0.
    """

    kind: str
    strength: float
    ties: float

    def density(self, value: float) -> float:
        """The logarithm of the density of a strength, up to a constant."""
        if self.kind == "gaussian":
            return -self.strength * value * value / 2
        return self.strength * (value - exp(value))

    def slope(self, value: float) -> float:
        """The first derivative of the density's logarithm."""
        return self.strength * (-value if self.kind == "gaussian" else 1 - exp(value))

    def curvature(self, value: float) -> float:
        """The negative second derivative of the density's logarithm."""
        return self.strength * (1 if self.kind == "gaussian" else exp(value))


class Outcomes(NamedTuple):
    """The probabilities of a judgement's outcomes."""

    win: float
    loss: float
    tie: float

    @property
    def information(self) -> float:
        """The Fisher information of one judgement about the difference of the strengths."""
        return (self.win + self.loss - (self.win - self.loss) ** 2) / 4


class Fit(NamedTuple):
    """The estimate: strengths, whose mean is 0, their covariance, and nu."""

    strengths: Vector
    covariance: Matrix
    nu: float

    def outcomes(self, first: int, second: int) -> Outcomes:
        """The probabilities of the outcomes of judging two items."""
        return outcomes(self.strengths[first] - self.strengths[second], self.nu)

    def variance(self, first: int, second: int) -> float:
        """The variance of the difference of two strengths."""
        rows = self.covariance
        return rows[first][first] + rows[second][second] - 2 * rows[first][second]


def outcomes(difference: float, nu: float) -> Outcomes:
    """The probabilities of the outcomes, from the difference of the strengths."""
    up, down = exp(difference / 2), exp(-difference / 2)
    total = up + down + nu
    return Outcomes(up / total, down / total, nu / total)


def fit(size: int, pairs: list[Pair], prior: Prior) -> Fit:
    """The maximum a posteriori estimate for `size` items.

    Raises ArithmeticError when Newton's method does not converge; with a proper prior it does.
    """
    has_ties = any(pair.ties for pair in pairs)
    # the last parameter is log nu; without a tie the likelihood has its maximum at nu = 0
    parameters = [0.0] * (size + has_ties)
    value = log_posterior(size, pairs, prior, parameters)
    for _ in range(MOST_STEPS):
        gradient, information = derivatives(size, pairs, prior, parameters)
        factor = cholesky(information)
        step = solve(factor, gradient)
        if max(map(abs, step)) < SMALLEST_STEP:
            return centred(size, parameters, inverse(factor))
        parameters, value = ascended(size, pairs, prior, parameters, value, step)
    raise ArithmeticError(f"the strengths did not converge in {MOST_STEPS} steps")


def ascended(
    size: int, pairs: list[Pair], prior: Prior, start: Vector, value: float, step: Vector
) -> tuple[Vector, float]:
    """The parameters after a step, halved until the posterior does not fall, and its value."""
    slack = 1e-12 * (1 + abs(value))  # rounding, close to the maximum
    share = 1.0
    while True:
        reached = [old + share * move for old, move in zip(start, step, strict=True)]
        try:
            risen = log_posterior(size, pairs, prior, reached)
        except OverflowError:  # a step much too long
            risen = -inf
        if risen >= value - slack:
            return reached, risen
        share /= 2


def log_posterior(size: int, pairs: list[Pair], prior: Prior, parameters: Vector) -> float:
    """The logarithm of the posterior density, up to a constant."""
    log_nu = parameters[size] if len(parameters) > size else None
    nu = exp(log_nu) if log_nu is not None else 0.0
    total = sum(map(prior.density, parameters[:size]))
    if log_nu is not None:
        total -= prior.ties * log_nu * log_nu / 2
        total += log_nu * sum(pair.ties for pair in pairs)
    for pair in pairs:
        half = (parameters[pair.first] - parameters[pair.second]) / 2
        total += (pair.wins - pair.losses) * half
        total -= pair.judgements * log(exp(half) + exp(-half) + nu)
    return total


def derivatives(
    size: int, pairs: list[Pair], prior: Prior, parameters: Vector
) -> tuple[Vector, Matrix]:
    """The gradient of the log-posterior and the observed information."""
    gradient = [0.0] * len(parameters)
    information = [[0.0] * len(parameters) for _ in parameters]
    for number, value in enumerate(parameters[:size]):
        gradient[number] = prior.slope(value)
        information[number][number] = prior.curvature(value)
    log_nu = parameters[size] if len(parameters) > size else None
    if log_nu is not None:
        gradient[size] = -prior.ties * log_nu
        information[size][size] = prior.ties
    nu = exp(log_nu) if log_nu is not None else 0.0
    for pair in pairs:
        a, b, n = pair.first, pair.second, pair.judgements
        chance = outcomes(parameters[a] - parameters[b], nu)
        slope = (pair.wins - pair.losses - n * (chance.win - chance.loss)) / 2
        gradient[a] += slope
        gradient[b] -= slope
        amount = n * chance.information
        information[a][a] += amount
        information[b][b] += amount
        information[a][b] -= amount
        information[b][a] -= amount
        if log_nu is not None:
            gradient[size] += pair.ties - n * chance.tie
            information[size][size] += n * chance.tie * (1 - chance.tie)
            cross = n * chance.tie * (chance.win - chance.loss) / 2
            for item, amount in ((a, -cross), (b, cross)):
                information[size][item] += amount
                information[item][size] += amount
    return gradient, information


def centred(size: int, parameters: Vector, covariance: Matrix) -> Fit:
    """The fit with strengths relative to their mean: no judgement informs about a common shift."""
    mean = sum(parameters[:size]) / size
    rows = [row[:size] for row in covariance[:size]]
    means = [sum(row) / size for row in rows]
    middle = sum(means) / size
    relative = [
        [value - means[number] - means[column] + middle for column, value in enumerate(row)]
        for number, row in enumerate(rows)
    ]
    nu = exp(parameters[size]) if len(parameters) > size else 0.0
    return Fit([value - mean for value in parameters[:size]], relative, nu)


def quadratic(matrix: Matrix, vector: Vector) -> float:
    """vector' matrix vector."""
    return dot(vector, [dot(row, vector) for row in matrix])
