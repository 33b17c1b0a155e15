// A value as people read it in an alert's message, its key and the reasons of an example: `tcp`, not 6; items of a list with commas between.
//
// Pure, any thread.
#pragma once

#include <string>

#include "query/value.h"

namespace sluice::query::continuous {

std::string value_text(const Column& column, const Type& type, size_t row);

}  // namespace sluice::query::continuous
