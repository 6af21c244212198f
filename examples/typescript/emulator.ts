// LINE's stand-in for a bot's tests, a process of its own: the program lineoauth,
// on the PATH or where the variable LINEOAUTH says.
import {spawn, type ChildProcess} from 'node:child_process';
import {once} from 'node:events';
import {createInterface} from 'node:readline';

export class Emulator {
  private constructor(
    private readonly process: ChildProcess,
    readonly url: string,
    readonly channelId: string,
    readonly channelSecret: string,
  ) {}

  static async start(): Promise<Emulator> {
    const process_ = spawn(process.env.LINEOAUTH ?? 'lineoauth', ['serve'], {stdio: ['ignore', 'pipe', 'inherit']});
    const failed = once(process_, 'exit').then(([code]) => {
      throw new Error(`lineoauth serve ended with ${code}`);
    }, error => {
      throw new Error(`lineoauth does not start; install it, or set LINEOAUTH to its path: ${error.message}`);
    });
    failed.catch(() => {}); // it also exits when it is stopped
    const [line] = await Promise.race([once(createInterface({input: process_.stdout!}), 'line'), failed]);
    const ready = JSON.parse(line);
    return new Emulator(process_, ready.url, ready.channel_id, ready.channel_secret);
  }

  async stop(): Promise<void> {
    const exit = once(this.process, 'exit');
    this.process.kill('SIGTERM');
    const [code] = await exit;
    if (code !== 0) throw new Error(`lineoauth serve ended with ${code}`);
  }

  state(): Promise<{calls: Record<string, number>; messages?: unknown[]}> {
    return this.ask('GET', 'state');
  }

  reset(): Promise<unknown> {
    return this.ask('POST', 'reset', {});
  }

  advance(duration: string): Promise<unknown> {
    return this.ask('POST', 'clock', {advance: duration});
  }

  inject(fault: {fault: string; operation?: string; times?: number; retry_after?: string}): Promise<unknown> {
    return this.ask('POST', 'faults', fault);
  }

  private async ask(method: string, path: string, body?: unknown): Promise<any> {
    const response = await fetch(`${this.url}/_emulator/${path}`, {
      method, headers: {'Content-Type': 'application/json'}, body: body === undefined ? undefined : JSON.stringify(body),
    });
    if (!response.ok) throw new Error(`${path}: ${response.status} ${await response.text()}`);
    return response.json();
  }
}
