#include "server/delivery/smtp_client.h"

#include <curl/curl.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "ingest/receive/limits.h"
#include "server/delivery/alert_shape.h"
#include "server/delivery/curl_stop.h"

namespace sluice::delivery {
namespace {

struct Upload {
  const std::string* message;
  size_t at = 0;
};

size_t on_read(char* buffer, size_t size, size_t count, void* user) {
  auto* upload = static_cast<Upload*>(user);
  const size_t bytes = std::min(size * count, upload->message->size() - upload->at);
  std::memcpy(buffer, upload->message->data() + upload->at, bytes);
  upload->at += bytes;
  return bytes;
}

// The server's last line, for people.
size_t on_line(char* data, size_t size, size_t count, void* user) {
  std::string_view line(data, size * count);
  while (!line.empty() && (line.back() == '\r' || line.back() == '\n')) line.remove_suffix(1);
  *static_cast<std::string*>(user) = line.substr(0, 300);
  return size * count;
}

}  // namespace

Status send_mail(const SmtpServer& server, const std::string& from, const std::vector<std::string>& to, const std::string& message, DurationNs timeout, bool& refused) {
  refused = false;
  const std::unique_ptr<CURL, void (*)(CURL*)> handle(curl_easy_init(), curl_easy_cleanup);
  if (!handle) return Error{ErrorCode::io, "libcurl cannot be used"};
  CURL* const curl = handle.get();
  const std::string place = server.host + ":" + std::to_string(server.port);
  const std::string url = (server.tls == SmtpServer::Tls::from_the_start ? "smtps://" : "smtp://") + place + (server.hello.empty() ? "" : "/" + server.hello);
  curl_slist* list = nullptr;
  for (const std::string& address : to) list = curl_slist_append(list, ("<" + address + ">").c_str());
  const std::unique_ptr<curl_slist, void (*)(curl_slist*)> guard(list, curl_slist_free_all);
  Upload upload{&message};
  char reason[CURL_ERROR_SIZE] = "";
  std::string last;

  curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "smtp,smtps");
  curl_easy_setopt(curl, CURLOPT_PROXY, "");  // also: not the environment's
  curl_easy_setopt(curl, CURLOPT_NETRC, static_cast<long>(CURL_NETRC_IGNORED));
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  // ALL: without TLS nothing is sent, the password least of all.
  curl_easy_setopt(curl, CURLOPT_USE_SSL, static_cast<long>(server.tls == SmtpServer::Tls::none ? CURLUSESSL_NONE : CURLUSESSL_ALL));
  curl_easy_setopt(curl, CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
  curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 1L);
  curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 2L);
  if (!server.ca_file.empty()) curl_easy_setopt(curl, CURLOPT_CAINFO, server.ca_file.c_str());
  if (!server.user.empty()) {
    curl_easy_setopt(curl, CURLOPT_USERNAME, server.user.c_str());
    curl_easy_setopt(curl, CURLOPT_PASSWORD, server.password.c_str());
  }
  curl_easy_setopt(curl, CURLOPT_MAIL_FROM, ("<" + from + ">").c_str());
  curl_easy_setopt(curl, CURLOPT_MAIL_RCPT, list);
  curl_easy_setopt(curl, CURLOPT_UPLOAD, 1L);
  curl_easy_setopt(curl, CURLOPT_READFUNCTION, on_read);
  curl_easy_setopt(curl, CURLOPT_READDATA, &upload);
  curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_line);
  curl_easy_setopt(curl, CURLOPT_HEADERDATA, &last);
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(limits::kHttpConnectTimeout / kMillisecond));
  curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, static_cast<long>(timeout / kMillisecond));
  curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, reason);
  curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, stop_when_asked);
  curl_easy_setopt(curl, CURLOPT_XFERINFODATA, &server.stopping);

  const CURLcode code = curl_easy_perform(curl);
  if (code == CURLE_OK) return {};
  long answer = 0;
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &answer);
  // 552 and 554 are about the message (too large, its content); other refusals (who we are, whom it is for) are mended by people.
  refused = upload.at > 0 && (answer == 552 || answer == 554);
  std::string why = reason[0] ? reason : curl_easy_strerror(code);
  if (answer >= 400 && !last.empty()) why += " (" + without_controls(last) + ")";
  const ErrorCode kind = code == CURLE_LOGIN_DENIED           ? ErrorCode::unauthenticated
                         : code == CURLE_OPERATION_TIMEDOUT   ? ErrorCode::deadline
                         : code == CURLE_ABORTED_BY_CALLBACK ? ErrorCode::cancelled
                                                              : ErrorCode::io;
  return Error{kind, "cannot send mail by " + place + ": " + why};
}

}  // namespace sluice::delivery
