-- wrk sends the bodies in a folder, 0.body, 1.body, ..., in turn, and after each answer pauses for PAUSE_MS.
-- wrk ... -s load.lua URL -- FOLDER PAUSE_MS "Content-Type: TYPE" ["NAME: VALUE" ...]
local requests, count, turn, pause = {}, 0, 0, 0

function init(arguments)
  pause = tonumber(arguments[2] or "0")
  local headers = {}
  for index = 3, #arguments do
    local name, value = arguments[index]:match("^(.-): (.*)$")
    headers[name] = value
  end
  while true do
    local file = io.open(arguments[1] .. "/" .. count .. ".body", "rb")
    if not file then break end
    requests[count] = wrk.format("POST", nil, headers, file:read("*a"))
    file:close()
    count = count + 1
  end
  math.randomseed(os.time())
  turn = math.random(0, count - 1)
end

function request()
  turn = (turn + 1) % count
  return requests[turn]
end

function delay()
  return pause
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '\nRESULT {"requests": %d, "seconds": %.3f, "p50": %.3f, "p95": %.3f, "p99": %.3f, "max": %.3f, "refused": %d, "broken": %d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(95) / 1e3,
    latency:percentile(99) / 1e3, latency.max / 1e3, errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
