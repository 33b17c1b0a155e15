// Kind "file": each alert a line of a file that is opened anew each time, so that it may be renamed under us (logrotate). Keys: path, shape.
//
// A line is durable before it counts as delivered. One that a kill tore is closed before the next, so it costs itself alone.
#pragma once

#include "server/delivery/target.h"

namespace sluice::delivery {

Result<MadeTarget> make_file(ingest::DeclaredSettings& settings);

}  // namespace sluice::delivery
