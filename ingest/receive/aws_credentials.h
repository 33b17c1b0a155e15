// Where the keys that sign a request come from. Asked for each request, so that temporary keys, which some other program renews,
// are taken up without a restart. A machine's metadata service is not asked.
//
// Thread rule: functions share nothing.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "ingest/receive/aws_signature.h"
#include "storage/model/result.h"

namespace sluice::ingest {

// AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, when set, AWS_SESSION_TOKEN. Errors: invalid_argument when one is missing.
Result<AwsCredentials> aws_credentials_of_environment();

// A profile of a shared credentials file (docs.aws.amazon.com/sdkref/latest/guide/file-format.html): lines "[profile]",
// "aws_access_key_id = …", "aws_secret_access_key = …", "aws_session_token = …". Errors: io; invalid_argument when the profile or a
// key of it is missing.
Result<AwsCredentials> aws_credentials_of_file(const std::string& path, const std::string& profile);
Result<AwsCredentials> parse_aws_credentials(std::string_view text, std::string_view profile);

}  // namespace sluice::ingest
