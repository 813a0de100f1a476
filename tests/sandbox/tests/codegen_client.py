"""Drives the sandbox's Codegen with the client that Codegen publishes: what that sends is taken, and what it is answered
it can read. Called with the URL and the token; ends with an error when something is not so."""

import sys

import codegen_api_client as codegen
from codegen_api_client.exceptions import ApiException

ORGANIZATION = 323


def client(url, token):
    configuration = codegen.Configuration(host=url)
    configuration.proxy = None
    api = codegen.ApiClient(configuration)
    api.set_default_header("Authorization", f"Bearer {token}")
    return codegen.AgentsApi(api)


def create(agents, organization=ORGANIZATION, prompt="Cache the token"):
    body = codegen.CreateAgentRunInput(prompt=prompt)
    return agents.create_agent_run_v1_organizations_org_id_agent_run_post(organization, body)


def ask(agents, number):
    return agents.get_agent_run_v1_organizations_org_id_agent_run_agent_run_id_get(number, ORGANIZATION)


def refused(status, call):
    try:
        call()
    except ApiException as refusal:
        assert refusal.status == status, f"{refusal.status} instead of {status}: {refusal.body}"
        return
    raise AssertionError(f"it was not refused with {status}")


def main(url, token):
    agents = client(url, token)
    run = create(agents)
    assert (run.organization_id, run.status, run.result) == (ORGANIZATION, "ACTIVE", None), run
    assert run.web_url, run
    assert ask(agents, run.id).status == "ACTIVE"
    ended = ask(agents, run.id)
    assert (ended.id, ended.status, ended.result) == (run.id, "COMPLETE", "It is done."), ended
    refused(401, lambda: create(client(url, "another")))
    refused(403, lambda: create(agents, organization=1))
    refused(404, lambda: ask(agents, run.id + 1))
    for _ in range(9):
        create(agents)
    refused(429, lambda: create(agents))


main(*sys.argv[1:])
