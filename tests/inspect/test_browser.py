"""The page in Chromium: stepped through, clicked, solved, at three widths, light and dark. Run with ``-m browser``.

With INSPECTOR_SCREENSHOTS=FOLDER the pictures of docs/inspector.md are written there (docs/images/inspector).
"""

import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest

from scratchgan import Function, Tensor, grad, ops
from scratchgan.inspect import part, record
from scratchgan.inspect.compare import compared
from scratchgan.inspect.exercises import course
from scratchgan.inspect.page import write_page
from scratchgan.inspect.program import record_program
from scratchgan.models import gan28
from scratchgan.optim import Adam

pytestmark = pytest.mark.browser
EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
PICTURES = os.environ.get("INSPECTOR_SCREENSHOTS")


@pytest.fixture(scope="module")
def driver():
    """One Chromium for all pages."""
    webdriver = pytest.importorskip(
        "selenium.webdriver", reason="browser tests need selenium: pip install '.[browser]'"
    )
    browser, server = shutil.which("chromium"), shutil.which("chromedriver")
    if browser is None or server is None:
        pytest.skip("browser tests need Debian's packages chromium and chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--hide-scrollbars"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(server))
    yield driver
    driver.quit()


class Page:
    """A page that is open, and what a person does with it."""

    def __init__(self, driver, path):
        self.driver = driver
        driver.get_log("browser")
        self.size(1440, 900)
        driver.get(path.resolve().as_uri())
        self.ready = int(self.run("return document.documentElement.dataset.ready"))

    def run(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    def text(self, selector):
        return self.run("const e = document.querySelector(arguments[0]); return e && e.textContent", selector)

    def texts(self, selector):
        return self.run("return [...document.querySelectorAll(arguments[0])].map(e => e.textContent)", selector)

    def click(self, selector):
        self.run("document.querySelector(arguments[0]).click()", selector)

    def view(self, name):
        self.click(f"#view-{name}")

    def press(self, *keys):
        from selenium.webdriver.common.action_chains import ActionChains

        for key in keys:
            ActionChains(self.driver).send_keys(key).perform()

    def scrub(self, step):
        """Go to a step, counted from 1, and wait for its panel."""
        self.run(
            "const s = document.getElementById('scrub'); s.value = arguments[0];"
            "s.dispatchEvent(new Event('input'))", step - 1,
        )  # fmt: skip
        self.settle()

    def go(self, tape, event):
        """Go to an event of a tape, and wait for its panel."""
        steps = [e.index for e in tape.events if e.kind != "apply" or e.parent is None or e.tracked]
        self.scrub(steps.index(event) + 1)

    def settle(self):
        self.driver.execute_async_script(
            "const done = arguments[0]; setTimeout(() => requestAnimationFrame(done), 120)"
        )

    def size(self, width, height, dark=False):
        command = self.driver.execute_cdp_cmd
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        command("Emulation.setDeviceMetricsOverride", metrics)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        command("Emulation.setEmulatedMedia", {"features": [scheme]})

    def picture(self, name):
        if PICTURES:
            self.settle()
            self.driver.save_screenshot(str(Path(PICTURES) / f"{name}.png"))

    def errors(self):
        return [entry["message"] for entry in self.driver.get_log("browser")]


@pytest.fixture
def opened(driver, tmp_path):
    """Save a tape and open its page; at the end the page may have complained about nothing."""
    pages = []

    def open_page(tape, title="test", document=None, **options):
        path = write_page(tmp_path / "page.html", document or tape.document(title=title, **options))
        pages.append(Page(driver, path))
        return pages[-1]

    yield open_page
    for page in pages:
        assert page.errors() == []


def example(name):
    with np.errstate(all="ignore"):
        return record_program(EXAMPLES / f"{name}.py")


def printed(x):
    return f"{float(x):.6g}"


def test_the_tape_is_stepped_through(opened) -> None:
    tape = example("two_layers")
    page = opened(tape)
    steps = int(page.run("return Number(document.getElementById('scrub').max) + 1"))
    assert page.text("#where").startswith(f"step 1 of {steps}")
    from selenium.webdriver.common.keys import Keys

    page.press(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ARROW_LEFT)
    assert page.text("#where").startswith("step 2 of")
    page.settle()
    assert page.text("#node-title").startswith("Tanh")
    assert "logits = network(Tensor(points))" in page.text("pre .here")
    phases = []
    for step in range(1, steps + 1):
        page.scrub(step)
        phases.append(page.text("#where b"))
    order = [p for i, p in enumerate(phases) if i == 0 or p != phases[i - 1]]
    assert order == ["forward", "backward", "optimiser"]
    page.press(Keys.HOME, Keys.SPACE)
    time.sleep(1.2)
    assert page.text("#play") == "⏸ pause"
    page.press(Keys.SPACE)
    assert not page.text("#where").startswith("step 1 of")


def test_an_element_of_a_convolutions_gradient_is_a_window_with_the_turned_filter(opened) -> None:
    tape = example("convolution")
    page = opened(tape, title="convolution")
    pull = tape.pullbacks[-1]
    page.scrub(int(page.run("return document.getElementById('scrub').max")) + 1)
    page.click(f"[data-edge='{pull.index}:0'] td[data-element='0,0,2,2']")
    row = tape.row(pull.index, 0, (0, 0, 2, 2))
    assert f"together: {printed(row.total)}   recorded: {printed(row.gx)}" in page.text(".element .sum")
    assert page.run("return document.querySelector('[data-turned]').dataset.turned") == "equal"
    shown = page.texts(".element .beside:nth-of-type(2) figure:nth-of-type(2) td")
    window = row.partials[0, 0][np.ix_([1, 2, 3], [1, 2, 3])]
    assert shown == [printed(x) for x in window.ravel()]
    page.run("document.querySelector('.element').scrollIntoView()")
    page.picture("convolution")
    page.click(f"[data-edge='{pull.index}:0'] td[data-element='0,0,0,0']")
    assert page.run("return document.querySelector('[data-turned]').dataset.turned") == "cut"


def test_every_number_of_a_small_gradient_is_pythons(opened) -> None:
    tape = example("softmax")
    page = opened(tape)
    last = tape.pullbacks[-1]
    page.go(tape, last.index)
    expected = [printed(x) for x in tape.store.values[last.gxs[0]].array.ravel()]
    cells = page.texts(f"[data-edge='{last.index}:0'] table.cells td")
    assert cells[-len(expected) :] == expected
    page.click(f"[data-edge='{last.index}:0'] td[data-element='0,1']")
    row = tape.row(last.index, 0, (0, 1))
    assert printed(row.total) in page.text(".element .sum")


def test_shares_add_up_on_the_page(opened) -> None:
    tape = example("batch_norm")
    page = opened(tape)
    page.go(tape, next(p.index for p in tape.pullbacks if len(p.flows[0]) > 1))
    assert page.text("table.flows tr:last-child td:last-child") == "100 %"


class Tripled(Function):
    def forward(self, x):
        return 2 * x

    def backward(self, needs, gy, y, x):
        return gy * 3.0


def test_a_wrong_vjp_is_red_on_its_edge_and_nowhere_else(opened) -> None:
    x = Tensor(np.ones((2, 3)), requires_grad=True)
    with record() as tape:
        grad(ops.tanh(Tripled()(x)).sum(), x)
    page = opened(tape)
    steps = int(page.run("return document.getElementById('scrub').max")) + 1
    page.scrub(steps)
    assert page.texts("[data-verdict]") == ["not computed"]
    tape.check()
    page = opened(tape)
    seen = {}
    for step in range(1, steps + 1):
        page.scrub(step)
        if page.text("#where b") == "backward":
            for edge, verdict in page.run(
                "return [...document.querySelectorAll('[data-edge]')]"
                ".map(e => [e.dataset.edge, e.querySelector('[data-verdict]').dataset.verdict])"
            ):
                seen[edge] = verdict
    wrong = next(p.index for p in tape.pullbacks if tape.application(p.of).name == "Tripled")
    assert seen.pop(f"{wrong}:0") == "FAIL"
    assert set(seen.values()) == {"PASS"}


def test_where_did_it_go_wrong(opened) -> None:
    tape = example("nan_hunt")
    page = opened(tape, title="nan_hunt")
    page.view("health")
    text = page.text("#stage")
    assert "every value is finite" in text
    assert "the vjp of Sqrt is the first whose gradient has inf" in text
    page.click("#stage p .bad + button")
    page.settle()
    assert page.text("#node-title").startswith("vjp of Sqrt")
    assert "lengths = ops.sqrt(squares)" in page.text("pre .here")
    page.picture("nan_hunt")


def test_a_program_that_raised_opens_where_it_ended(opened) -> None:
    x = Tensor(np.ones((2, 3)), requires_grad=True)
    with pytest.raises(ValueError, match="matmul"), record() as tape:
        (x * 2.0) @ x
    page = opened(tape)
    assert "The program did not finish: ValueError: matmul" in page.text("#notices")

    class Stops(Function):
        def forward(self, x):
            raise RuntimeError("<b>half-way</b>")

    with pytest.raises(RuntimeError), record() as tape:
        Stops()(x * 2.0)
    page = opened(tape)
    page.settle()
    assert page.text("#node-title") == "Stops"
    assert "<b>half-way</b>" in page.text("#panel")


def test_nothing_recorded(opened) -> None:
    with record() as tape:
        pass
    page = opened(tape)
    assert "Nothing was recorded" in page.text("#notices")
    for view in ("list", "game", "health", "ninja"):
        page.view(view)


def test_hostile_names_and_values_are_text(opened) -> None:
    name = "</script><script>window.broken = 1</script><img src=x onerror='window.broken = 1'>"
    x = Tensor(np.array([np.nan, np.inf, -np.inf, 1.0]), requires_grad=True)

    class Rotated(Function):  # a result may be complex, though no Tensor is made of complex numbers
        def forward(self, x):
            return x * 1j

    with np.errstate(all="ignore"), record(**{name: x}) as tape:
        with part(name):
            grad((x * 1.0).sum(), x)
        ops.exp(Tensor(np.array(2.0)))
        ops.exp(Tensor(np.zeros((0, 3))))
        Rotated()(Tensor(np.array([3.0])))
    page = opened(tape, title=name)
    for step in range(1, int(page.run("return document.getElementById('scrub').max")) + 2):
        page.scrub(step)
    for view in ("list", "game", "health", "ninja", "graph"):
        page.view(view)
    assert page.run("return window.broken") is None
    assert page.text("#title") == name
    page.scrub(1)
    assert {"nan", "inf", "-inf", "1"} <= set(page.texts("#panel table.cells td"))


def test_every_exercise_is_solved_and_failed(opened) -> None:
    page = opened(example("neuron"))
    page.view("ninja")
    for i, exercise in enumerate(course()):
        page.run(
            "const s = document.getElementById('exercise'); s.value = arguments[0];"
            "s.dispatchEvent(new Event('change'))",
            i,
        )
        for answer, right in ((exercise["solution"], True), ("0 * " + exercise["by"], False)):
            page.run("document.getElementById('answer').value = arguments[0]", answer)
            page.click("#grade")
            verdict = page.text("#graded")
            assert verdict.startswith("✓" if right else "✗"), (exercise["title"], verdict)
        assert "first wrong element is [" in page.text("#graded")
        assert page.run("return document.querySelectorAll('.exercise td.wrong').length") == 1
    page.picture("ninja")
    for wrong, said in (
        ("gy.sum()", "it has shape ()"),
        ("gy * nothing", "there is no nothing"),
        ("np.fft(gy)", "np.fft is not here"),
        ("gy *", "ends too early"),
        ("", "type an expression first"),
        ("alert(1)", "np.alert is not here"),
        ("constructor", "there is no constructor"),
    ):
        page.run("document.getElementById('answer').value = arguments[0]", wrong)
        page.click("#grade")
        assert said in page.text("#graded"), wrong


def test_a_vjp_of_this_tape_as_an_exercise(opened) -> None:
    page = opened(example("softmax"))
    page.scrub(1)
    page.run(
        "[...document.querySelectorAll('#panel button')].find(b => b.textContent.startsWith('Hide the rule')).click()"
    )
    page.settle()
    assert "Hidden while you solve it" in page.text("#rule")
    page.run("document.getElementById('answer').value = 'gy * y'")
    page.click("#grade")
    assert page.text("#graded").startswith("✓")


def test_two_recordings(opened) -> None:
    a, b = example("two_layers").document(title="a"), example("neuron").document(title="b")
    page = opened(None, document=compared(a, b))
    assert "The programs part at event 0" in page.text("#stage")
    again = example("two_layers").document(title="again")
    page = opened(None, document=compared(a, again))
    assert page.text("[data-count=exact]").startswith("= exact")
    assert page.run("return document.querySelector('[data-count=wrong]')") is None


@pytest.fixture(scope="module")
def g28():
    """A training step of the benchmark's GAN on 28 x 28 images, its kernels compiled before."""
    rng = np.random.default_rng(0)
    generator, discriminator = gan28(generator=rng)
    adam_g, adam_d = (Adam(n.named_parameters(), 2e-4, betas=(0.5, 0.999)) for n in (generator, discriminator))
    real = Tensor(rng.uniform(-1, 1, (64, 1, 28, 28)).astype(np.float32))
    bce = ops.binary_cross_entropy_with_logits

    def step():
        with part("G"):
            fake = generator(Tensor(rng.standard_normal((64, 64), np.float32)))
        with part("D on real"):
            loss = bce(discriminator(real), 1.0)
        with part("D on fake"):
            loss = loss + bce(discriminator(fake.detach()), 0.0)
        adam_d.step(grad(loss, discriminator.parameters(), retain_graph=False))
        with part("G through D"):
            loss = bce(discriminator(fake), 1.0)
        adam_g.step(grad(loss, generator.parameters(), retain_graph=False))

    step()
    with record() as tape:
        step()
    return tape


def test_a_g28_step(opened, g28, tmp_path) -> None:
    page = opened(g28, title="G28 step")
    size = (tmp_path / "page.html").stat().st_size
    print(f"G28 step: {size / 1e6:.2f} MB, ready {page.ready} ms after navigation")
    assert size <= 5_000_000
    assert page.ready < 2000
    page.picture("g28_graph")
    first = next(
        p
        for p in g28.pullbacks
        if (g28.application(p.of).module, g28.application(p.of).part) == ("discriminator.0", "D on real")
    )
    page.go(g28, first.index)
    assert "vjp of Convolve · discriminator.0 · D on real" in page.text("#where")
    page.click(f"[data-edge='{first.index}:1'] td[data-element='0,0,1,2']")
    row = g28.row(first.index, 1, (0, 0, 1, 2))
    assert row.total == pytest.approx(row.gx, rel=1e-3)
    assert f"together: {printed(row.total)}   recorded: {printed(row.gx)}" in page.text(".element .sum")
    page.run("document.querySelector('.element').scrollIntoView()")
    page.picture("g28_element")
    page.view("game")
    assert page.run("return [...document.querySelectorAll('[data-part]')].map(e => e.dataset.part)") == [
        "G", "D on real", "D on fake", "G through D",
    ]  # fmt: skip
    assert "detached from Tanh (G)" in page.text("[data-part='D on fake'] .wall")
    cards = page.texts("[data-loss]")
    assert len(cards) == 2
    assert "generator" not in cards[0].split("It may move")[1]
    assert "discriminator" not in cards[1].split("It may move")[1]
    page.picture("g28_parts")


def test_ten_thousand_nodes_scrub_at_thirty_frames_a_second(opened) -> None:
    x = Tensor(np.ones(4, np.float32), requires_grad=True)
    with record(limit=20_000) as tape:
        y = x
        for _ in range(10_000):
            y = y * 1.0001
        grad(y.sum(), x)
    page = opened(tape)
    assert page.ready < 4000
    milliseconds = page.driver.execute_async_script(
        """
        const done = arguments[0], scrub = document.getElementById('scrub'), frames = [];
        let last = performance.now(), n = 0;
        function frame() {
          const now = performance.now();
          frames.push(now - last);
          last = now;
          if (++n > 90) { frames.sort((a, b) => a - b); done(frames[Math.floor(frames.length / 2)]); return; }
          scrub.value = n * 200;
          scrub.dispatchEvent(new Event('input'));
          requestAnimationFrame(frame);
        }
        requestAnimationFrame(frame);
        """
    )
    print(f"10,000 nodes: ready {page.ready} ms, {milliseconds:.1f} ms a frame")
    assert milliseconds < 1000 / 30


@pytest.mark.parametrize("width", [360, 1024, 1440])
@pytest.mark.parametrize("dark", [False, True])
def test_nothing_is_wider_than_the_screen(opened, width, dark) -> None:
    page = opened(example("r1"), title="r1")
    page.size(width, 800, dark)
    page.settle()
    steps = int(page.run("return document.getElementById('scrub').max")) + 1
    for view in ("graph", "list", "game", "health", "ninja"):
        page.view(view)
        page.scrub(min(steps, 27))
        wide = page.run("return [document.documentElement.scrollWidth, document.documentElement.clientWidth]")
        assert wide[0] <= wide[1], view
        page.picture(f"{view}_{width}{'_dark' if dark else ''}")


def test_a_keyboard_and_a_screen_reader_find_everything(opened) -> None:
    page = opened(example("two_layers"))
    nameless = page.run(
        """
        const out = [];
        for (const e of document.querySelectorAll('button, input, select, textarea, canvas, [role=button]'))
          if (!(e.getAttribute('aria-label') || e.textContent.trim() || e.title)) out.push(e.outerHTML);
        return out;
        """
    )
    assert nameless == []
    assert page.run("return document.querySelectorAll('[role=tab][aria-selected=true]').length") == 1
    assert page.run("return document.getElementById('where').getAttribute('aria-live')") == "polite"
