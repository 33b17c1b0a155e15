#include "ingest/receive/aws_credentials.h"

#include <cerrno>
#include <cstdlib>
#include <fstream>

#include "ingest/receive/limits.h"
#include "storage/model/text.h"

namespace sluice::ingest {
namespace {

}  // namespace

Result<AwsCredentials> aws_credentials_of_environment() {
  const auto value = [](const char* name) {
    const char* text = std::getenv(name);
    return std::string(text ? text : "");
  };
  AwsCredentials out{value("AWS_ACCESS_KEY_ID"), value("AWS_SECRET_ACCESS_KEY"), value("AWS_SESSION_TOKEN")};
  if (out.access_key_id.empty() || out.secret_access_key.empty())
    return Error{ErrorCode::invalid_argument,
                 "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not both set; set them, or credentials_file, or access_key_id with secret_access_key_file"};
  return out;
}

Result<AwsCredentials> parse_aws_credentials(std::string_view text, std::string_view profile) {
  AwsCredentials out;
  bool inside = false, found = false;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = trimmed(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.empty() || line.front() == '#' || line.front() == ';') continue;
    if (line.front() == '[') {
      std::string_view name = trimmed(line.substr(1, line.find(']') == std::string_view::npos ? 0 : line.find(']') - 1));
      if (name.starts_with("profile ")) name = trimmed(name.substr(8));  // as the file `config` writes it
      inside = name == profile;
      found |= inside;
      continue;
    }
    const size_t equals = line.find('=');
    if (!inside || equals == std::string_view::npos) continue;
    const std::string_view key = trimmed(line.substr(0, equals)), value = trimmed(line.substr(equals + 1));
    if (key == "aws_access_key_id") out.access_key_id = value;
    else if (key == "aws_secret_access_key") out.secret_access_key = value;
    else if (key == "aws_session_token") out.session_token = value;
  }
  const std::string name(profile);
  if (!found) return Error{ErrorCode::invalid_argument, "there is no profile '" + name + "'"};
  if (out.access_key_id.empty() || out.secret_access_key.empty())
    return Error{ErrorCode::invalid_argument, "profile '" + name + "' has not both aws_access_key_id and aws_secret_access_key"};
  return out;
}

Result<AwsCredentials> aws_credentials_of_file(const std::string& path, const std::string& profile) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return Error::from_errno("cannot open the credentials file " + path, errno);
  std::string text(limits::kCredentialsBytesMax, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(file.gcount()));
  auto out = parse_aws_credentials(text, profile);
  if (!out.ok()) return std::move(out).error().with("the credentials file " + path);
  return out;
}

}  // namespace sluice::ingest
