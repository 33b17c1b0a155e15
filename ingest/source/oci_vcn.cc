#include "ingest/source/oci_vcn.h"

#include <algorithm>
#include <optional>
#include <vector>

#include "ingest/source/base64.h"
#include "ingest/source/flow_row.h"
#include "ingest/source/interface_side.h"
#include "ingest/source/json_body.h"
#include "ingest/source/scalar_text.h"

namespace sluice::ingest {
namespace oci_vcn {
namespace {

using json::ondemand::object;
using json::ondemand::value;
using json::Scalar;
using simdjson::error_code;

enum class Key : uint8_t {
  // objects to step into
  log_content, data, oracle, results,
  // around the record
  datetime, region, id, time, type, packed,
  // said once more elsewhere, or of the delivery and not of the flow
  said,
  // the record
  version, status, action, source_address, destination_address, source_port, destination_port, protocol, protocol_name, packets,
  bytes_out, start_time, end_time, flow_id,
  // whose it is
  tenant, vnic_compartment, compartment, vnic, subnet, vcn,
};
constexpr json::KeyTable<Key> kKeys{
    {"logContent", Key::log_content}, {"data", Key::data}, {"oracle", Key::oracle}, {"results", Key::results},
    {"datetime", Key::datetime}, {"regionId", Key::region}, {"region", Key::region}, {"id", Key::id}, {"time", Key::time},
    {"type", Key::type}, {"value", Key::packed}, {"specversion", Key::said}, {"source", Key::said},
    {"ingestedtime", Key::said}, {"loggroupid", Key::said}, {"logid", Key::said}, {"subject", Key::said},
    {"datacontenttype", Key::said}, {"version", Key::version}, {"status", Key::status}, {"action", Key::action},
    {"sourceAddress", Key::source_address}, {"destinationAddress", Key::destination_address},
    {"sourcePort", Key::source_port}, {"destinationPort", Key::destination_port}, {"protocol", Key::protocol},
    {"protocolName", Key::protocol_name}, {"packets", Key::packets}, {"bytesOut", Key::bytes_out},
    {"startTime", Key::start_time}, {"endTime", Key::end_time}, {"flowid", Key::flow_id}, {"flowId", Key::flow_id},
    {"tenantid", Key::tenant}, {"vniccompartmentocid", Key::vnic_compartment}, {"compartmentid", Key::compartment},
    {"vnicocid", Key::vnic}, {"vnicsubnetocid", Key::subnet}, {"vcnOcid", Key::vcn}, {"vcnocid", Key::vcn},
};

// What is said of the VNIC, and the columns for either side of it.
constexpr struct {
  Key key;
  ColumnId src, dst;
} kSided[] = {
    {Key::vnic, ColumnId::src_interface_id, ColumnId::dst_interface_id}, {Key::subnet, ColumnId::src_subnet_id, ColumnId::dst_subnet_id},
    {Key::vcn, ColumnId::src_vpc_id, ColumnId::dst_vpc_id},              {Key::vnic_compartment, ColumnId::src_account_id, ColumnId::dst_account_id},
    {Key::region, ColumnId::src_region, ColumnId::dst_region},
};
constexpr size_t kSidedCount = std::size(kSided);

class Decoder {
 public:
  Decoder(const DecodeContext& context, const FlowSink& sink, DecodeReport& report) : report_(report), writer_(context, sink, report) {
    writer_.amend_with([this](Batch& batch) { settle(batch); });
  }

  Status all(std::string_view body) {
    JsonRecords reader(body);
    std::string_view text;
    while (reader.next(text, report_)) SLUICE_TRY(one(text, reader.readable_end(), reader.number(), 0));
    return writer_.finish();
  }

 private:
  enum class Kind : uint8_t { flow, no_data, skipped };

  // What is known of the record beside its row. Views are good while the object is.
  struct Record {
    std::string_view sided[kSidedCount];
    std::string_view compartment, packed, protocol_name, list;
    Kind kind = Kind::flow;
    bool has_data = false;
  };

  Status one(std::string_view text, const char* readable_end, uint64_t number, int depth) {
    FlowRow& row = writer_.begin();
    record_ = {};
    object o;
    error_code error = document_.open(text, readable_end, o);
    if (!error) error = read(o, row, 0);
    if (error) {
      report_.reject(number, row.fault().empty() ? json::error_text(error) : row.fault());
      return {};
    }
    if (!record_.has_data && !record_.list.empty() && depth == 0) {
      // The answer of a search: its elements are records. The text lies in the body, or in a copy that the next open() ends.
      const std::string list(record_.list);
      return list_of(list, number);
    }
    if (!record_.has_data && !record_.packed.empty() && depth == 0) {
      const auto inner = base64_decoded(record_.packed);
      if (!inner || !json::is_json(*inner)) {
        report_.reject(number, "value is not base64 of JSON");
        return {};
      }
      return list_of(*inner, number);
    }
    if (record_.kind == Kind::no_data) {
      ++report_.no_data;
    } else if (record_.kind == Kind::skipped) {
      ++report_.skipped_data;
      const TimestampNs from = row.has(ColumnId::flow_start) ? row.time(ColumnId::flow_start) : row.event_time;
      const TimestampNs to = row.has(ColumnId::flow_end) ? row.time(ColumnId::flow_end) : from;
      if (from != 0) {
        report_.skipped_range.from = std::min(report_.skipped_range.from, from);
        report_.skipped_range.to = std::max(report_.skipped_range.to, std::max(to, from + 1));
      }
    } else if (!record_.has_data) {
      report_.reject(number, "JSON object holds no flow record: neither sourceAddress nor destinationAddress");
    } else if (!complete(row)) {
      report_.reject(number, row.fault());
    } else {
      return writer_.write();
    }
    return {};
  }

  Status list_of(const std::string& text, uint64_t number) {
    JsonRecords reader(text);
    std::string_view record;
    while (reader.next(record, report_)) SLUICE_TRY(one(record, text.data() + text.size(), number, 1));
    return {};
  }

  error_code read(object& o, FlowRow& row, int depth) {
    const auto must = [](bool ok) { return ok ? simdjson::SUCCESS : simdjson::INCORRECT_TYPE; };
    return json::each_field(o, [&](std::string_view key, value& v) -> error_code {
      // Flattened records name the way to a field with dots.
      std::string_view name = key;
      if (const size_t dot = name.rfind('.'); dot != std::string_view::npos) name.remove_prefix(dot + 1);
      const Key* known = kKeys.find(name);
      if (known == nullptr) return json::keep_in_extra(row, name, v);
      Scalar s;
      if (const auto error = json::read_scalar(v, s)) return error;
      if (s.is_nested()) {
        switch (*known) {
          case Key::log_content:
          case Key::data:
          case Key::oracle: {
            json::ondemand::json_type type;
            if (const auto error = v.type().get(type)) return error;
            if (type != json::ondemand::json_type::object || depth == kDepthMax) return json::keep_in_extra(row, name, v);
            object inner;
            if (const auto error = v.get_object().get(inner)) return error;
            return read(inner, row, depth + 1);
          }
          case Key::results: return json::raw_json_of(v, record_.list);
          default: return json::keep_in_extra(row, name, v);
        }
      }
      if (s.is_nothing()) return simdjson::SUCCESS;
      for (size_t i = 0; i < kSidedCount; ++i)
        if (kSided[i].key == *known) {
          record_.sided[i] = s.text;
          return simdjson::SUCCESS;
        }
      switch (*known) {
        case Key::datetime:
        case Key::time: {
          // When the record was logged.
          TimestampNs time = 0;
          if (!row.read_time(time, name, s.text)) return simdjson::INCORRECT_TYPE;
          if (row.event_time == 0) row.event_time = time;
          break;
        }
        case Key::type:
          if (s.text.find("NoData") != s.text.npos) record_.kind = Kind::no_data;
          if (s.text.find("SkipData") != s.text.npos) record_.kind = Kind::skipped;
          break;
        case Key::status:
          if (s.text == "NODATA") record_.kind = Kind::no_data;
          else if (s.text == "SKIPDATA") record_.kind = Kind::skipped;
          row.set_text(ColumnId::log_status, s.text);
          break;
        case Key::action:
          if (s.text == "ACCEPT") {
            row.set_enum(ColumnId::action, Action::accept);
          } else if (s.text == "REJECT") {
            row.set_enum(ColumnId::action, Action::reject);
          } else {
            row.set_enum(ColumnId::action, Action::unknown);
            row.add_extra(name, s.text);
          }
          break;
        case Key::source_address: record_.has_data = true; return must(row.read_ip(ColumnId::src_ip, name, s.text));
        case Key::destination_address: record_.has_data = true; return must(row.read_ip(ColumnId::dst_ip, name, s.text));
        case Key::source_port: return must(row.read_whole(ColumnId::src_port, name, s.text));
        case Key::destination_port: return must(row.read_whole(ColumnId::dst_port, name, s.text));
        case Key::protocol: return must(row.read_protocol(name, s.text));
        case Key::protocol_name: record_.protocol_name = s.text; break;
        case Key::packets: return must(row.read_whole(ColumnId::raw_packets, name, s.text));
        case Key::bytes_out: return must(row.read_whole(ColumnId::raw_bytes, name, s.text));
        case Key::start_time: return must(row.read_time(ColumnId::flow_start, name, s.text));
        case Key::end_time: return must(row.read_time(ColumnId::flow_end, name, s.text));
        case Key::flow_id: row.set_text(ColumnId::flow_id, s.text); break;
        case Key::compartment: record_.compartment = s.text; break;
        case Key::tenant: row.add_extra("tenant_id", s.text); break;
        case Key::packed: record_.packed = s.text; break;
        case Key::id:       // of the log entry: nothing of the flow
        case Key::version:  // of the record's form
        case Key::said:
        default: break;
      }
      return simdjson::SUCCESS;
    });
  }

  bool complete(FlowRow& row) {
    if (!row.has(ColumnId::protocol) && !record_.protocol_name.empty()) {
      if (const auto protocol = parse_protocol(record_.protocol_name))
        row.set_uint(ColumnId::protocol, *protocol);
      else
        row.add_extra("protocolName", record_.protocol_name);
    }
    std::string_view& account = record_.sided[3];
    static_assert(kSided[3].key == Key::vnic_compartment);
    if (account.empty())
      account = record_.compartment;
    else if (!record_.compartment.empty() && record_.compartment != account)
      row.add_extra("compartment_id", record_.compartment);  // of the log, where it is another than the VNIC's

    // A record is one VNIC's view, and does not say on which side it stands.
    std::optional<Side> side;
    const bool both = row.has(ColumnId::src_ip) && row.has(ColumnId::dst_ip);
    const std::string_view vnic = record_.sided[0];
    static_assert(kSided[0].key == Key::vnic);
    uint32_t interface = InterfaceAddresses::kNone;
    if (both) {
      const IpAddress src = row.ip(ColumnId::src_ip), dst = row.ip(ColumnId::dst_ip);
      if (!vnic.empty()) {
        interface = interfaces_.index_of(vnic);
        interfaces_.saw(interface, src, dst);
      }
      if (src.is_private() != dst.is_private()) side = src.is_private() ? Side::src : Side::dst;
      if (!side && interface != InterfaceAddresses::kNone) undecided_.push_back({writer_.rows(), interface, src, dst});
    }
    for (size_t i = 0; i < kSidedCount; ++i) row.set_text(side == Side::dst ? kSided[i].dst : kSided[i].src, record_.sided[i]);
    if (side) row.set_enum(ColumnId::reporter, *side == Side::src ? Reporter::src : Reporter::dst);

    row.set_text(ColumnId::cloud, "oci");
    row.set_enum(ColumnId::flags_quality, FlagsQuality::none);
    row.set_uint(ColumnId::is_biflow, 0);
    row.set_uint(ColumnId::sampling_rate, 1);
    row.set_enum(ColumnId::source, Source::oci_vcn);
    return true;
  }

  // Sides that only many records together tell. Undecided rows have what is said of their VNIC at the source; where it turned
  // out to be the destination's, it moves.
  void settle(Batch& batch) {
    std::vector<uint8_t> reporter(batch.rows, kUnsettled);
    bool any = false, any_moves = false;
    for (const Undecided& u : undecided_) {
      const auto side = interfaces_.side_of(u.interface, u.src, u.dst);
      if (!side) continue;
      reporter[u.row] = static_cast<uint8_t>(*side == Side::src ? Reporter::src : Reporter::dst);
      any = true;
      any_moves |= *side == Side::dst;
    }
    undecided_.clear();
    if (!any) return;

    auto schema = std::make_shared<Schema>();
    std::vector<Column> columns;
    const auto old = [&](ColumnId id) -> const Column* {
      const auto at = batch.find(id);
      return at ? &batch.columns[*at] : nullptr;
    };
    for (size_t c = 0; c < kColumnCount; ++c) {
      const auto id = static_cast<ColumnId>(c);
      const Column* column = old(id);
      if (id == ColumnId::reporter) {
        Column out(PhysicalType::U8);
        for (size_t r = 0; r < batch.rows; ++r)
          if (reporter[r] != kUnsettled) out.append<uint8_t>(reporter[r]);
          else if (column != nullptr && !column->is_null(r)) out.append<uint8_t>(static_cast<uint8_t>(column->uint_at(r)));
          else out.append_null();
        schema->push_back(Field::of(id));
        columns.push_back(std::move(out));
        continue;
      }
      const auto sided = std::find_if(std::begin(kSided), std::end(kSided), [&](const auto& s) { return s.src == id || s.dst == id; });
      if (!any_moves || sided == std::end(kSided)) {
        if (column == nullptr) continue;
        schema->push_back(Field::of(id));
        columns.push_back(*column);
        continue;
      }
      const Column* src = old(sided->src);
      Column out(PhysicalType::Str);
      for (size_t r = 0; r < batch.rows; ++r) {
        const bool moves = reporter[r] == static_cast<uint8_t>(Reporter::dst);
        // A row that moves had nothing at its destination.
        const Column* from = !moves ? column : id == sided->dst ? src : nullptr;
        if (from != nullptr && !from->is_null(r)) out.append_string(from->string_at(r));
        else out.append_null();
      }
      if (out.null_count() == out.size()) continue;
      schema->push_back(Field::of(id));
      columns.push_back(std::move(out));
    }
    batch.schema = std::move(schema);
    batch.columns = std::move(columns);
  }

  struct Undecided {
    size_t row;
    uint32_t interface;
    IpAddress src, dst;
  };
  static constexpr uint8_t kUnsettled = 255;
  // results → data → logContent → data
  static constexpr int kDepthMax = 4;

  DecodeReport& report_;
  FlowRowWriter writer_;
  json::Document document_;
  Record record_;
  InterfaceAddresses interfaces_;
  std::vector<Undecided> undecided_;
};

}  // namespace
}  // namespace oci_vcn

Result<DecodeReport> decode_oci_vcn(std::string_view body, const DecodeContext& context, const FlowSink& sink) {
  DecodeReport report;
  SLUICE_TRY(oci_vcn::Decoder(context, sink, report).all(body));
  return report;
}

}  // namespace sluice::ingest
