#include "bench/generate/text_files.h"

#include <charconv>

#include "bench/generate/aws_objects.h"
#include "bench/generate/put_text.h"

namespace sluice::generate {
namespace {

void put_key(std::string& out, std::string_view key) {
  if (out.size() > 1) out.push_back(',');  // the brace stands alone before the first
  out.push_back('"');
  out.append(key);
  out.append("\":");
}
void put_field(std::string& out, std::string_view key, uint64_t v) {
  put_key(out, key);
  put_number(out, v);
}
void put_field(std::string& out, std::string_view key, std::string_view text) {  // ours: nothing to escape
  put_key(out, key);
  out.push_back('"');
  out.append(text);
  out.push_back('"');
}
void put_field(std::string& out, std::string_view key, const IpAddress& ip) {
  put_key(out, key);
  out.push_back('"');
  put_ip(out, ip);
  out.push_back('"');
}

}  // namespace

Result<CsvFile> CsvFile::create(const std::string& path, bool numeric_addresses) {
  CsvFile csv;
  SLUICE_ASSIGN(csv.file_, OutputFile::create(path));
  csv.numeric_ = numeric_addresses;
  SLUICE_TRY(csv.file_.write(
      "flow_start,flow_end,src_ip,dst_ip,src_port,dst_port,protocol,tcp_flags,bytes,packets,input_if,output_if,src_as,dst_as\n"));
  return csv;
}

Status CsvFile::add(const Flow& flow) {
  if (numeric_ && (!flow.src.is_v4() || !flow.dst.is_v4()))
    return Error{ErrorCode::invalid_argument, "a numeric address column cannot hold IPv6: " + to_string(flow.src)};
  line_.clear();
  put_number(line_, static_cast<uint64_t>(flow.start / kMillisecond));
  line_.push_back(',');
  put_number(line_, static_cast<uint64_t>(flow.end / kMillisecond));
  for (const IpAddress& ip : {flow.src, flow.dst}) {
    line_.push_back(',');
    if (numeric_) put_number(line_, ip.v4_value()); else put_ip(line_, ip);
  }
  for (const uint64_t v : {uint64_t{flow.src_port}, uint64_t{flow.dst_port}, uint64_t{flow.protocol}, uint64_t{flow.tcp_flags}, flow.bytes,
                           flow.packets, uint64_t{flow.input_if}, uint64_t{flow.output_if}, uint64_t{flow.src_as}, uint64_t{flow.dst_as}}) {
    line_.push_back(',');
    put_number(line_, v);
  }
  line_.push_back('\n');
  return file_.write(line_);
}

Result<NdjsonFile> NdjsonFile::create(const std::string& path, const Reporters& reporters) {
  NdjsonFile file;
  SLUICE_ASSIGN(file.file_, OutputFile::create(path));
  file.reporters_ = &reporters;
  return file;
}

Status NdjsonFile::add(const Flow& flow) {
  const bool cloud = flow.cloud_interface != kNoInterface;
  const TimestampNs unit = cloud ? kSecond : kMillisecond;
  line_ = "{";
  put_field(line_, "start", std::string_view(format_timestamp(flow.start / unit * unit)));
  put_field(line_, "end", std::string_view(format_timestamp(flow.end / unit * unit)));
  put_field(line_, "src_ip", flow.src);
  put_field(line_, "dst_ip", flow.dst);
  put_field(line_, "src_port", uint64_t{flow.src_port});
  put_field(line_, "dst_port", uint64_t{flow.dst_port});
  put_field(line_, "protocol", uint64_t{flow.protocol});
  put_field(line_, "tcp_flags", uint64_t{cloud ? aws_tcp_flags(flow) : flow.tcp_flags});
  put_field(line_, "bytes", flow.bytes);
  put_field(line_, "packets", flow.packets);
  put_field(line_, "reporter", std::string_view(reporters_->name_of(flow)));
  if (cloud) {
    put_field(line_, "interface", std::string_view(reporters_->interfaces[flow.cloud_interface].id));
    put_field(line_, "if_src_ip", flow.if_src);
    put_field(line_, "if_dst_ip", flow.if_dst);
    put_field(line_, "action", std::string_view(flow.action == FlowAction::accept ? "accept" : "reject"));
    put_field(line_, "direction", std::string_view(flow.egress ? "egress" : "ingress"));
  } else {
    put_field(line_, "input_if", uint64_t{flow.input_if});
    put_field(line_, "output_if", uint64_t{flow.output_if});
    put_field(line_, "src_as", uint64_t{flow.src_as});
    put_field(line_, "dst_as", uint64_t{flow.dst_as});
    put_field(line_, "sampling", uint64_t{reporters_->routers[flow.router].sampling});
  }
  line_.append("}\n");
  return file_.write(line_);
}

}  // namespace sluice::generate
