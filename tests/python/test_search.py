"""The template `search`: its optimiser finds optima, and follows one path through any restart."""

import ast
import hashlib
import importlib.util
import json
import math
import sys
import unittest
from pathlib import Path

TEMPLATE = Path(__file__).resolve().parents[2] / "templates/search"
# last: other examples have packages of the same names
sys.path.append(str(TEMPLATE))

from optimiser import criteria, distribution, eigen, generator, integers, noise  # noqa: E402
from optimiser import portable, search, space  # noqa: E402

SETTINGS = {
    "seed": 1,
    "sigma": 0.2,
    "tolerance": 1e-10,
    "target": None,
    "restarts": "random",
    "patience": 100,
    "noise": "none",
    "evaluations": 1,
    "most_evaluations": 16,
}


def box(count, low=-5.0, high=5.0):
    return {f"x{index}": {"low": low, "high": high} for index in range(count)}


def begun(over, start=0.9, **settings):
    """A search that starts at a share of each parameter's range."""
    given = {name: space.value_at(parameter, start) for name, parameter in over.items()}
    return search.begin(over, given, SETTINGS | settings)


def run(state, function, evaluations, between=lambda state: state):
    """Minimises a function of the parameters for so many evaluations."""
    while state["evaluations"] < evaluations and not state["done"]:
        state = between(state)
        name, parameters = search.ask(state)
        state = between(state)
        search.tell(state, name, -function(*parameters.values()))
    return state


def through_json(state):
    """As the Journal keeps a state: its keys sorted."""
    return json.loads(json.dumps(state, sort_keys=True))


def text(state):
    return json.dumps(state, sort_keys=True)


def sphere(*x):
    return sum((value - 1.5) ** 2 for value in x)


def ellipsoid(*x):
    return sum(10 ** (6 * at / (len(x) - 1)) * (value - 1.5) ** 2 for at, value in enumerate(x))


def rosenbrock(*x):
    return sum(100 * (b - a * a) ** 2 + (1 - a) ** 2 for a, b in zip(x, x[1:]))


def rastrigin(*x):
    return sum(10 + (v - 1) ** 2 - 10 * math.cos(2 * math.pi * (v - 1)) for v in x)


class Numbers(unittest.TestCase):
    def test_exp_and_log_are_those_of_the_c_library_within_two_units(self):
        for index in range(4000):
            x = generator.uniform(5, index)
            power = (x - 0.5) * 1400
            for own, theirs in (
                (portable.exp(power), math.exp(power)),
                (portable.log(math.exp(power)), math.log(math.exp(power))),
                (portable.log(x), math.log(x)),
            ):
                self.assertLessEqual(abs(own - theirs), 2 * math.ulp(theirs), (x, own, theirs))
        self.assertEqual(portable.exp(-1e6), 0.0)
        with self.assertRaisesRegex(ValueError, "positive"):
            portable.log(0.0)

    def test_normal_numbers_have_the_moments_of_the_normal_distribution(self):
        numbers = [z for at in range(10_000) for z in generator.normals(3, at * 3, 5)]
        for power, moment, deviation in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
            mean = math.fsum(z**power for z in numbers) / len(numbers)
            self.assertLess(abs(mean - moment), 4 * math.sqrt(deviation / len(numbers)), power)

    def test_a_number_depends_on_the_seed_and_the_index_alone(self):
        # fixed: another value would give every recorded search another path
        self.assertEqual(generator.normals(1, 0, 2), [1.3542313964276627, -0.6919321320864437])
        self.assertEqual(generator.normals(1, 4, 4)[2:], generator.normals(1, 5, 2))
        self.assertNotEqual(generator.normals(2, 0, 2), generator.normals(1, 0, 2))

    def test_eigenvectors_and_values_make_the_matrix_again(self):
        for n in (1, 2, 5, 12):
            z = [generator.normals(9, row * n, n) for row in range(n)]
            lower = tuple(
                tuple(portable.dot(z[i], z[j]) for j in range(i + 1)) for i in range(n)
            )
            vectors, values = eigen.decomposition(lower)
            for i in range(n):
                for j in range(i + 1):
                    again = math.fsum(vectors[i][k] * values[k] * vectors[j][k] for k in range(n))
                    self.assertAlmostEqual(again, lower[i][j], places=10)
                    axes = portable.dot(list(zip(*vectors))[i], list(zip(*vectors))[j])
                    self.assertAlmostEqual(axes, float(i == j), places=12)

    def test_the_tail_of_the_normal_distribution(self):
        for probability in (0.3, 0.1, 0.02, 0.001, 1e-6):
            z = integers.tail(probability)
            self.assertAlmostEqual(math.erfc(z / math.sqrt(2)) / 2 / probability, 1, places=2)


class Optimisation(unittest.TestCase):
    def test_it_converges_on_smooth_functions(self):
        for function, evaluations in ((sphere, 1500), (ellipsoid, 4000), (rosenbrock, 6000)):
            with self.subTest(function.__name__):
                found = run(begun(box(5), tolerance=1e-14), function, evaluations)
                self.assertLess(-found["best"]["value"], 1e-8)

    def test_its_mean_and_covariance_follow_the_function(self):
        """On a quadratic function, C becomes the inverse of its Hessian, up to a factor."""
        valley = lambda x, y, z: x * x + 1e4 * (y * y + z * z)  # noqa: E731
        found = run(begun(box(3), tolerance=0.0), valley, 900)
        rows = found["distribution"]["covariance"]
        for other in (1, 2):
            self.assertTrue(1e3 < rows[0][0] / rows[other][other] < 1e5, rows)

    def test_an_optimum_in_a_corner_of_the_bounds_is_reached(self):
        found = run(begun(box(4), start=0.5), lambda *x: -math.fsum(x), 3000)
        self.assertGreater(found["best"]["value"], 20 - 1e-6)

    def test_a_log_scale_finds_what_spans_decades(self):
        over = {name: {"low": 1e-6, "high": 1e3, "scale": "log"} for name in ("a", "b")}
        target = math.log10(3e-5)
        found = run(begun(over), lambda a, b: sphere(math.log10(a) - target, math.log10(b)), 800)
        best = found["best"]["parameters"]
        self.assertAlmostEqual(math.log10(best["a"]) - target, 1.5, places=3)

    def test_integers_are_integers_and_do_not_get_stuck(self):
        over = box(2) | {f"k{at}": {"low": -9, "high": 40, "integer": True} for at in range(3)}

        def far(k0, k1, k2, x0, x1):
            self.assertTrue(all(isinstance(k, int) and -9 <= k <= 40 for k in (k0, k1, k2)))
            return (k0 - 31) ** 2 + 100 * (k1 + 9) ** 2 + (k2 - k0) ** 2 + sphere(x0, x1)

        solved = 0
        for seed in range(5):
            state = begun(over, start=0.3, seed=seed, tolerance=1e-12)
            solved += -run(state, far, 2500)["best"]["value"] < 1e-6
        self.assertEqual(solved, 5)

    def test_a_mean_amid_an_integer_keeps_its_neighbours_within_reach(self):
        over = {"k": {"low": 0, "high": 9, "integer": True}, "x": {"low": 0.0, "high": 1.0}}
        narrow = distribution.new([0.45, 0.5], 1e-9)  # k = 4, half of a value from its neighbours
        integers.widen(narrow, over, 6)
        deviation = narrow["sigma"] * math.sqrt(narrow["covariance"][0][0])
        outside = math.erfc(0.05 / deviation / math.sqrt(2)) / 2
        self.assertAlmostEqual(outside, 1 / 12, places=3)
        self.assertEqual(narrow["covariance"][1][1], 1.0)

    def test_restarts_double_the_population_and_solve_what_one_run_does_not(self):
        state = begun(box(3), start=0.95, seed=4)
        first = None
        while state["evaluations"] < 20_000 and (not first or -state["best"]["value"] > 1e-7):
            before = state["restart"], state["population"]
            run(state, rastrigin, state["evaluations"] + 1)
            if state["restart"] > before[0]:
                self.assertEqual(state["population"], 2 * before[1])
                first = first or state["best"]["value"]
        self.assertLess(first, -0.1)
        self.assertGreater(state["best"]["value"], -1e-7)

    def test_it_ends_by_evidence(self):
        ended = run(begun(box(2), patience=2, tolerance=1e-6), sphere, 50_000)
        self.assertRegex(ended["done"], "2 restarts in a row found nothing better")
        ended = run(begun(box(2), target=-0.01), sphere, 50_000)
        self.assertRegex(ended["done"], "target -0.01 is reached")
        with self.assertRaisesRegex(ValueError, "`begin` starts another"):
            search.ask(ended)

    def test_equal_values_end_a_run(self):
        state = run(begun(box(2), patience=1), lambda *x: 7.0, 50_000)
        self.assertRegex(state["done"], "nothing better")

    def test_criteria_of_the_distribution(self):
        for broken, why in (
            ({"sigma": 1e-14}, "tolx"),
            ({"sigma": 1e4}, "tolxup"),
            ({"covariance": [[1.0], [0.0, 1e-16]]}, "conditioncov"),
            ({}, None),
        ):
            state = begun(box(2))
            state["distribution"] |= broken
            self.assertEqual(criteria.stop(state, [0.0, 1.0]), why)


class Paths(unittest.TestCase):
    def test_a_restart_from_json_at_every_step_follows_the_same_path(self):
        over = box(3) | {"k": {"low": 1, "high": 24, "integer": True}}
        over |= {"rate": {"low": 0.01, "high": 10.0, "scale": "log"}}
        for settings in ({}, {"noise": "adaptive"}):
            straight = run(begun(over, **settings), rastrigin, 700)
            restarted = run(begun(over, **settings), rastrigin, 700, through_json)
            self.assertEqual(text(restarted), text(straight))

    def test_the_path_is_the_same_on_every_machine(self):
        """A function of products and sums alone has the same bits everywhere, and so the search."""

        def product(a, k):
            return (a - 0.7) * (a - 0.7) + (k - 11) * (k - 11) * 0.25

        over = {
            "a": {"low": 0.01, "high": 10.0, "scale": "log"},
            "k": {"low": 1, "high": 24, "integer": True},
        }
        state = run(begun(over, tolerance=1e-4, patience=3), product, 400)
        digest = hashlib.sha256(text(state).encode()).hexdigest()
        self.assertEqual(digest, "d905a69ecd1bc0ec1fe1b750d7e5d68127f58b837da6a6160ef0ae38f6f78469")

    def test_the_order_of_values_within_a_generation_does_not_matter(self):
        states = []
        for backwards in (False, True):
            state = begun(box(3))
            search.tell(state, *start_of(state))
            for _ in range(20):
                asked = [search.ask(state) for _ in range(state["population"])]
                self.assertEqual(len({name for name, _ in asked}), state["population"])
                for name, parameters in reversed(asked) if backwards else asked:
                    search.tell(state, name, -rosenbrock(*parameters.values()))
            states.append(state)
        for key in ("distribution", "best"):
            self.assertEqual(states[0][key], states[1][key])

    def test_nothing_of_it_has_a_clock_chance_files_or_processes(self):
        allowed = {"collections.abc", "functools", "math", "operator", "typing"}
        files = [*TEMPLATE.glob("optimiser/*.py"), TEMPLATE / "tuner/__main__.py"]
        self.assertGreater(len(files), 9)
        for file in files:
            for node in ast.walk(ast.parse(file.read_text())):
                names = [one.name for one in node.names] if isinstance(node, ast.Import) else []
                names += [node.module] if isinstance(node, ast.ImportFrom) else []
                own = ("optimiser", "agent_runtime")
                outside = {name for name in names if not name.startswith(own)}
                self.assertLessEqual(outside, allowed, file.name)


def start_of(state):
    name, parameters = search.ask(state)
    return name, -rosenbrock(*parameters.values())


class Values(unittest.TestCase):
    def state(self, **settings):
        state = begun(box(2), **settings)
        search.tell(state, search.START, 0.5)
        return state

    def test_a_second_value_corrects_the_first(self):
        corrected, right = self.state(), self.state()
        search.tell(corrected, "0.0.1", 100.0)
        search.tell(corrected, "0.0.1", 0.25)
        search.tell(right, "0.0.1", 0.25)
        for state in (corrected, right):
            for number in (0, 2, 3, 4, 5):
                self.assertIsNone(search.tell(state, f"0.0.{number}", number / 10))
        self.assertEqual(text(corrected["distribution"]), text(right["distribution"]))
        self.assertEqual(corrected["evaluations"], 7)

    def test_a_value_of_an_ended_generation_does_not_count(self):
        state = self.state()
        for number in range(6):
            search.tell(state, f"0.0.{number}", number)
        before = text(state)
        self.assertEqual(search.tell(state, "0.0.2", 9.0), "the generation of 0.0.2 has ended")
        self.assertEqual(text(state), before)
        # but the best value found is corrected
        search.tell(state, "0.0.5", 4.5)
        self.assertEqual(state["best"]["value"], 4.5)

    def test_what_is_no_value_of_a_candidate_is_refused(self):
        state = self.state()
        before = text(state)
        for name, value, why in (
            ("0.0.6", 1.0, "no candidate of that id"),
            ("0.1.0", 1.0, "no candidate of that id"),
            ("3.0.0", 1.0, "no candidate of that id"),
            ("first", 1.0, "as in '0.12.3'"),
            ("0.0.0", math.nan, "finite"),
            ("0.0.0", math.inf, "finite"),
        ):
            with self.assertRaisesRegex(ValueError, why):
                search.tell(state, name, value)
        self.assertEqual(text(state), before)

    def test_a_candidate_that_was_given_out_and_forgotten_is_given_out_again(self):
        state = self.state()
        search.ask(state)
        names = [search.ask(state)[0] for _ in range(6)]
        self.assertEqual(names, [f"0.0.{number}" for number in (0, 1, 2, 3, 4, 5)])
        search.tell(state, "0.0.0", 1.0)
        self.assertEqual(search.ask(state)[0], "0.0.1")

    def test_rewards_are_averaged_until_each_candidate_has_its_share(self):
        state = self.state(evaluations=3)
        for number in range(6):
            for value in (1.0, 2.0, number):
                search.reward(state, f"0.0.{number}", value)
            if number == 0:
                search.reward(state, "0.0.0", 13.0)  # one more than needed counts too
        self.assertEqual(state["generation"], 1)
        self.assertEqual(state["best"] | {"parameters": None}, {
            "id": "0.0.0", "value": 4.0, "parameters": None,
        })

    def test_conversations_are_spread_over_the_candidates(self):
        state = self.state()
        counts = [0] * 6
        for at in range(6000):
            counts[search.for_conversation(state, f"conversation-{at}")] += 1
        self.assertTrue(all(880 < count < 1120 for count in counts), counts)


class Noise(unittest.TestCase):
    def test_evaluations_grow_where_noise_rules_the_ranks_and_fall_where_it_does_not(self):
        each = []
        for scale in (0.0, 10.0):
            state, calls = begun(box(3), noise="adaptive", tolerance=0.0), iter(range(10**9))

            def noisy(*x, scale=scale, calls=calls):
                return sphere(*x) + scale * generator.normals(77, next(calls), 1)[0]

            run(state, noisy, 600)
            each.append(state["each"])
        self.assertEqual(each[0], 1.0)
        self.assertGreater(each[1], 8.0)

    def test_with_noise_the_mean_comes_nearer_than_the_luckiest_candidate(self):
        nearer = 0
        for seed in range(10):
            state = begun(box(3), noise="adaptive", seed=seed, tolerance=0.0)
            calls = iter(range(10**9))
            run(state, lambda *x: sphere(*x) + generator.normals(78, next(calls), 1)[0], 1500)
            lucky = sphere(*state["best"]["parameters"].values())
            nearer += sphere(*search.recommended(state).values()) < lucky
        self.assertGreaterEqual(nearer, 7)

    def test_uncertainty_of_ranks(self):
        first = [float(value) for value in range(8)]
        self.assertLess(noise.uncertainty(first, [0.0, 1.0]), 0)
        self.assertLess(noise.uncertainty(first, [0.1, 0.9]), 0)
        self.assertGreater(noise.uncertainty(first, [7.5, 1.0]), 0)


class Spaces(unittest.TestCase):
    def test_fold_is_smooth_periodic_and_undone(self):
        points = [at / 1000 for at in range(-4000, 4001)]
        values = [space.fold(u) for u in points]
        self.assertTrue(all(0 <= value <= 1 for value in values))
        steps = [abs(b - a) for a, b in zip(values, values[1:])]
        self.assertLess(max(steps), 0.001001)
        for share in (0.0, 0.01, 0.05, 0.3, 0.97, 1.0):
            self.assertAlmostEqual(space.fold(space.unfold(share)), share, places=14)

    def test_declarations_that_cannot_be_searched_are_named(self):
        for parameter, why in (
            ({"low": 1, "high": 1}, "space.a: low is 1 and high is 1"),
            ({"low": 0, "high": 1, "scale": "log"}, "space.a: low is 0: a log scale"),
            ({"low": 0.5, "high": 3, "integer": True}, "bounds of an integer"),
        ):
            with self.assertRaisesRegex(ValueError, why):
                space.check({"a": parameter})
        with self.assertRaisesRegex(ValueError, "x0 is 7"):
            search.begin(box(1), {"x0": 7}, SETTINGS)
        with self.assertRaisesRegex(ValueError, "differ in x0"):
            search.begin(box(1), {}, SETTINGS)


class Template(unittest.TestCase):
    def cases(self, folder):
        files = sorted((TEMPLATE / "tests" / folder).glob("*.jsonl"))
        return [json.loads(line) for file in files for line in file.read_text().splitlines()]

    def test_held_out_series_are_in_no_other_tier(self):
        held = {case["id"] for case in self.cases("full/heldout")}
        seen = {case["id"] for tier in ("micro", "fast", "full") for case in self.cases(tier)}
        self.assertEqual((len(held), len(held & seen)), (60, 0))

    def test_the_recorded_values_are_those_of_its_candidates(self):
        """Each line of signals/feedback.jsonl is the fast tier's score of the next candidate."""
        scorers = loaded("tests/scorers.py")
        smoothing = loaded("runner/smoothing.py")
        cases = self.cases("fast")
        given = json.loads((TEMPLATE / "state/active.state.json").read_text())
        state = search.begin(given["space"], given["parameters"], given["settings"])
        lines = (TEMPLATE / "signals/feedback.jsonl").read_text().splitlines()
        for at, line in enumerate(lines):
            signal = json.loads(line)["arguments"]
            name, parameters = search.ask(state)
            self.assertEqual(signal["id"], name)
            if at % 25 == 0:
                by = smoothing.Smoothing(**parameters)
                found = [
                    smoothing.forecast_of(case["arguments"]["history"], 12, by) for case in cases
                ]
                answers = [{"structuredContent": {"values": values}} for values in found]
                score = math.fsum(map(scorers.closer, cases, answers)) / len(cases)
                self.assertAlmostEqual(score, signal["value"], places=5)
            search.tell(state, name, signal["value"])
        self.assertEqual((len(lines), state["best"]["parameters"]["period"]), (300, 12))


def loaded(path):
    """A module of the template, under a name of its own."""
    name = f"search_{Path(path).stem}"
    specification = importlib.util.spec_from_file_location(name, TEMPLATE / path)
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module
    specification.loader.exec_module(module)
    return module


if __name__ == "__main__":
    unittest.main()
