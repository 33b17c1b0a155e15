// Kind "kafka": each alert a record of a topic, its key the alert's id, so that what is told of one alert stays in order; its header `id` the notice's.
//
// Keys: brokers, topic, shape, and those of a feed of kind kafka that say how to reach brokers (security_protocol, sasl_…, ssl_…, ca_file, …).
#pragma once

#include "server/delivery/target.h"

namespace sluice::delivery {

Result<MadeTarget> make_kafka(ingest::DeclaredSettings& settings);

}  // namespace sluice::delivery
