-- What wrk sends: the photos of a folder in turn, each as the part `file` of a form; after each a pause, if one is asked for.
-- wrk ... -s load.lua -- FOLDER PAUSE_MS
local bodies, pause, turn = {}, 0, 0

function init(arguments)
  pause = tonumber(arguments[2] or "0")
  local number = 0
  while true do
    local file = io.open(arguments[1] .. "/" .. number .. ".jpg", "rb")
    if not file then break end
    local head = '--catscope\r\nContent-Disposition: form-data; name="file"; filename="photo.jpg"\r\nContent-Type: image/jpeg\r\n\r\n'
    bodies[number] = wrk.format("POST", nil, { ["Content-Type"] = "multipart/form-data; boundary=catscope" },
      head .. file:read("*a") .. "\r\n--catscope--\r\n")
    file:close()
    number = number + 1
  end
  math.randomseed(os.time())
  turn = math.random(0, number)
end

function request()
  turn = (turn + 1) % (#bodies + 1)
  return bodies[turn]
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
