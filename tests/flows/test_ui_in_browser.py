"""The Prefect UI in a real browser, as a person uses it: a run is found and watched, and another one started from the form."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser import PATIENCE_MS, chromium_page, colours, needs_chromium, screenshot
from tests.flows.conftest import ended, start

pytestmark = needs_chromium
expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture(scope="module")
def run_id(house, toy):
    made = start(house, toy["form"], {"items": 9, "detail": {"flavour": "salted"}})
    assert ended(house, made)["type"] == "COMPLETED", house.log("worker")
    return made


@pytest.fixture
def home(house):
    """The address that ./run.sh up prints."""
    return house.api.removesuffix("/api")


def test_runs_page_is_one_click_from_the_servers_address_and_leads_to_the_run(home, run_id):
    with chromium_page() as page:
        page.goto(home)
        page.get_by_role("link", name="Runs", exact=True).click()
        run = page.locator(f"a[href$='/runs/flow-run/{run_id}']")
        expect(run).to_have_text("toy · 9 items · salted")
        screenshot(page, "prefect-runs")
        run.click()
        expect(page).to_have_title(re.compile("toy · 9 items · salted"))


def test_page_of_a_run_shows_name_task_runs_graph_and_log(house, home, run_id):
    with chromium_page() as page:
        page.goto(f"{home}/v2/runs/flow-run/{run_id}")
        expect(page.get_by_role("navigation", name="breadcrumb").first).to_contain_text("toy · 9 items · salted")
        expect(page.get_by_role("main").get_by_text("Completed", exact=True).first).to_be_visible()
        graph = page.locator("main canvas")
        expect(graph).to_be_visible()
        box = graph.bounding_box()
        assert box["width"] > 300 and box["height"] > 200
        house.until(lambda: colours(graph) > 50, PATIENCE_MS / 1000, "the drawing of the graph")
        page.get_by_role("tab", name="Logs").click()
        log = page.get_by_role("log")
        for line in ("Beginning flow run 'toy · 9 items · salted'", "Deployment step 'enter_checkout' completed", "Finished in state"):
            expect(log.get_by_text(line).first).to_be_visible()
        screenshot(page, "prefect-flow-run")
        page.get_by_role("tab", name="Task Runs").click()
        for name in ("first", "beside", "last"):
            expect(page.get_by_role("tabpanel").get_by_role("link", name=name, exact=True)).to_be_visible()
        screenshot(page, "prefect-task-runs")


def test_address_that_a_run_prints_opens_its_page(house, home, run_id):
    """It is the older UI's, which the server shows there unless the person has chosen the other one."""
    with chromium_page() as page:
        page.goto(f"{home}/runs/flow-run/{run_id}")
        expect(page).to_have_title(re.compile("toy · 9 items · salted"))
        expect(page.get_by_text("8 Task runs").first).to_be_visible()
        screenshot(page, "prefect-flow-run-older-ui")


def test_form_has_help_and_choices_and_starts_a_run_with_what_was_typed(house, home, toy):
    with chromium_page() as page:
        page.goto(f"{home}/v2/deployments/deployment/{toy['form']['id']}/run")
        items = page.get_by_label(re.compile("^Items"))
        expect(items).to_have_value("24")
        for help_text in ("How many items are counted.", "How long a shard takes, in seconds.", "One of two."):
            expect(page.get_by_text(help_text, exact=True)).to_be_visible()
        items.fill("6")
        page.get_by_role("button", name="Select Flavour").click()
        expect(page.get_by_role("option")).to_have_text(["plain", "salted"])
        screenshot(page, "prefect-form-choice")
        page.get_by_role("option", name="salted").click()
        screenshot(page, "prefect-form", whole=True)
        page.get_by_role("button", name="Submit").click()
        made = {"deployments": {"id": {"any_": [toy["form"]["id"]]}}, "sort": "EXPECTED_START_TIME_DESC"}

        def typed():
            runs = house.ask("flow_runs/filter", made)
            return next((run for run in runs if run["parameters"].get("config", {}).get("items") == 6), None)

        run = house.until(typed, 60, "a run with the parameter that was typed")
        assert ended(house, run["id"])["type"] == "COMPLETED", house.log("worker")
        assert house.ask(f"flow_runs/{run['id']}")["name"] == "toy · 6 items · salted"
        page.reload()  # it asks for news only now and then
        expect(page.get_by_role("link", name="toy · 6 items · salted")).to_be_visible()
        screenshot(page, "prefect-form-submitted")
