-- wrk: signed deliveries of one body, each with a new delivery id. BODY, SIGNATURE and RUN come from the environment.
local file = assert(io.open(os.getenv("BODY"), "rb"))
local body = file:read("*a")
file:close()
local run = os.getenv("RUN") or "0"
local threads = 0

function setup(thread)
  thread:set("number", threads)
  threads = threads + 1
end

local sent = 0
local head = {
  ["Content-Type"] = "application/json",
  ["User-Agent"] = "GitHub-Hookshot/bench",
  ["X-GitHub-Event"] = os.getenv("EVENT") or "pull_request",
  ["X-GitHub-Hook-ID"] = "1",
  ["X-Hub-Signature-256"] = os.getenv("SIGNATURE"),
}

function request()
  sent = sent + 1
  head["X-GitHub-Delivery"] = run .. "-" .. number .. "-" .. sent
  return wrk.format("POST", "/webhooks/github", head, body)
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format("RESULT %d %d %d %d %d %d\n", summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99),
    errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
