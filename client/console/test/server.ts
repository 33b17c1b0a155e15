// Starts the real sluiced on free ports with a directory of its own, and gives it flows.
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { createSocket } from "node:dgram";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

const bin = process.env.SLUICE_BIN!;

export interface Server {
  url: string;
  netflow: string;
  data: string;
  post(path: string, body: string | Uint8Array, headers?: Record<string, string>): Promise<string>;
  stop(): Promise<void>;
}

export async function startServer(options: { data?: string; port?: number; token?: string } = {}): Promise<Server> {
  const data = options.data ?? mkdtempSync(join(tmpdir(), "sluice-console-data-"));
  const args = ["--data", data, "--http", `127.0.0.1:${options.port ?? 0}`, "--netflow", "127.0.0.1:0", "--sflow", "127.0.0.1:0", "--log-level", "error"];
  const process: ChildProcess = spawn(join(bin, "sluiced"), args, { stdio: ["ignore", "pipe", "inherit"] });
  const ready = await new Promise<string>((done, failed) => {
    createInterface({ input: process.stdout! }).once("line", done);
    process.once("exit", (code) => failed(new Error(`sluiced ended with ${code}`)));
  });
  const word = (name: string) => new RegExp(` ${name}=(\\S+)`).exec(ready)![1]!;
  const url = `http://${word("http")}`;
  return {
    url, data, netflow: word("netflow"),
    async post(path, body, headers = {}) {
      const response = await fetch(url + path, { method: "POST", body: body as BodyInit, headers: options.token ? { ...headers, Authorization: `Bearer ${options.token}` } : headers });
      const text = await response.text();
      if (!response.ok) throw new Error(`${path}: ${response.status} ${text}`);
      return text;
    },
    async stop() {
      if (process.exitCode === null) {
        const gone = new Promise((done) => process.once("exit", done));
        process.kill("SIGTERM");
        await gone;
      }
      if (!options.data) rmSync(data, { recursive: true, force: true });
    },
  };
}

// The sample day of scripts/run: a small company, with a port scan, a break-in attempt, an exfiltration and a service that dies.
export async function loadCompany(server: Server): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), "sluice-console-flows-"));
  try {
    const start = new Date(Math.floor(Date.now() / 3_600_000) * 3_600_000 - 86_400_000).toISOString().replace(".000Z", "Z");
    execFileSync(join(bin, "sluice-generate"), ["--profile", "company", "--start", start, "--out", folder, "--format", "aws,netflow5,ipfix"], { stdio: "ignore" });
    let flows = 0;
    const send = async (source: string, files: string[]) => {
      for (const file of files) flows += (JSON.parse(await server.post(`/v1/ingest/${source}`, readFileSync(file), { "X-Sluice-Object": file })) as { accepted: number }).accepted;
    };
    const below = (path: string): string[] => readdirSync(path, { withFileTypes: true }).flatMap((f) => (f.isDirectory() ? below(join(path, f.name)) : [join(path, f.name)]));
    await send("aws_vpc", below(join(folder, "aws")));
    await send("netflow", [...below(join(folder, "netflow5")), ...below(join(folder, "ipfix"))].filter((f) => f.endsWith(".pcap")));
    return flows;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

// Lines of AWS flow logs that end now.
export function awsLines(count: number, options: { source?: (i: number) => string; target?: string; port?: number; secondsAgo?: number } = {}): string {
  const now = Math.floor(Date.now() / 1000) - (options.secondsAgo ?? 0);
  let lines = "";
  for (let i = 0; i < count; ++i)
    lines += `2 123456789010 eni-0a ${options.source?.(i) ?? `10.77.${i >> 8}.${i & 255}`} ${options.target ?? "10.88.0.1"} ${40_000 + (i % 20_000)} ${options.port ?? 443} 6 10 ${1000 + i} ${now - 1} ${now} ACCEPT OK\n`;
  return lines;
}

// One NetFlow v5 packet of `flows` flows after `sequence` others (Cisco: 24 bytes of header, 48 bytes a record).
export function netflow5(flows: number, sequence: number): Uint8Array {
  const packet = new DataView(new ArrayBuffer(24 + 48 * flows));
  packet.setUint16(0, 5);
  packet.setUint16(2, flows);
  packet.setUint32(4, 100_000);
  packet.setUint32(8, Math.floor(Date.now() / 1000));
  packet.setUint32(16, sequence);
  for (let i = 0; i < flows; ++i) {
    const at = 24 + 48 * i;
    packet.setUint32(at, 0xc0000201 + i);
    packet.setUint32(at + 4, 0xc6336407);
    packet.setUint32(at + 16, 5);
    packet.setUint32(at + 20, 500);
    packet.setUint32(at + 24, 90_000);
    packet.setUint32(at + 28, 95_000);
    packet.setUint16(at + 32, 40_000 + i);
    packet.setUint16(at + 34, 53);
    packet.setUint8(at + 38, 17);
  }
  return new Uint8Array(packet.buffer);
}

export async function sendPackets(to: string, packets: Uint8Array[]): Promise<void> {
  const [host, port] = to.split(":");
  const socket = createSocket("udp4");
  for (const packet of packets) await new Promise((done) => socket.send(packet, Number(port), host, done));
  socket.close();
}
