import { QueryType } from '../types';

/** Questions to begin with. Each runs as it is. */
export const samples: Array<{ title: string; type: QueryType; expr: string }> = [
  { title: 'Traffic by service', type: 'timeseries', expr: 'from flows\n| timeseries bits = 8 * rate(sum(bytes)) every $__interval\n    by service = service(if(src_port < dst_port, src_port, dst_port), protocol) limit 10' },
  { title: 'Who moves the most', type: 'table', expr: 'from flows\n| top 20 src_ip, dst_ip by bytes = sum(bytes), flows = count() with others' },
  { title: 'Who knocks on many doors', type: 'table', expr: 'from flows\n| where tcp_flags == S\n| stats ports = dcount(dst_port), hosts = dcount(dst_ip), flows = count() by src_ip\n| where ports > 100\n| sort ports desc' },
  { title: 'What was refused', type: 'logs', expr: 'action == reject' },
  { title: 'Who talks to whom', type: 'nodegraph', expr: 'from flows\n| top 60 src_ip, dst_ip by bytes = sum(bytes), flows = count()' },
  { title: 'Today and a day before', type: 'table', expr: 'from flows\n| top 10 dst_port by bytes = sum(bytes)\n| compare to 1d' },
  { title: 'Regular as a clock', type: 'table', expr: 'is_private(src_ip) and not is_private(dst_ip)\n| beacons by src_ip, dst_ip, dst_port\n| where score > 0.9\n| select src_ip, dst_ip, dst_port, score, connections, period' },
  { title: 'Alerts', type: 'alerts', expr: "from alerts\n| where severity in ('high', 'critical')" },
];
