// What makes the names in a folder last: a file that is synced is still lost with a power cut while its name is not.
#pragma once

#include <string>

#include "storage/model/result.h"

namespace sluice::segment {

// Errors: io with the folder's name.
Status sync_folder(const std::string& path);

}  // namespace sluice::segment
