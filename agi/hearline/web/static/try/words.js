// The texts of "Try it", in both languages. Prompts are Chinese in both, since callers hear them in Chinese.

const WORDS = {
  zh: {
    lang: "zh-CN",
    other_language: "English",
    theme: { auto: "外观：随系统", light: "外观：浅色", dark: "外观：深色" },
    title: "试打热线",
    document: (name) => `试打 ${name}`,
    intro: "点一下就能从浏览器拨打热线，不需要话机，也不需要麦克风。接通后先什么都不说，听听会发生什么。",
    call: "拨打热线",
    hang_up: "挂断",
    voices: { idle: "接通后，用这些按钮“说话”", live: "您要怎么说？" },
    silent: "不出声",
    silent_more: "什么都不说",
    soft: "小声说",
    soft_more: "录音，−50 dBov",
    speak: "正常说",
    speak_more: "录音，−23 dBov",
    microphone: "用我的麦克风",
    microphone_more: "浏览器会先征求同意",
    keypad: "按键",
    keypad_note: "按键发给热线；焦点在这里时，也可以直接用键盘输入。",
    now: "正在发生",
    timer: "等您说话",
    step: "步骤",
    verdict: "听到的",
    level: "您的音量",
    picture: "通话图",
    picture_note: "从上到下：热线在说什么、计时、判断的时刻、您的音量（虚线以下算太小）、听到的是什么、流程走到哪一步。",
    log: "经过",
    log_empty: "通话开始后，这里按时间列出每件事。",
    call_id: (id) => `通话编号 ${id}`,
    account: "这次通话",
    agent_title: "自己来接听",
    agent_link: "在新标签页里打开坐席工作台",
    agent_sign_in: "登录：工号",
    agent_phone: "勾选“用本页接听和拨打电话”",
    agent_answer: "回到这里，拨打热线并选“正常说”；电话会在那边响起，接听即可",
    nothing_yet: "还没有通话",
    nothing_said: "没有说话",
    waits: "请等一会儿",
    far_side: (agent) => `您正在和 ${agent} 号坐席通话`,
    in_queue: (queue) => `您在队列“${queue}”中等候，听到的是音乐。想接起这通电话，请看下面的“自己来接听”`,
    rings_at: (agent) => `${agent} 号坐席的电话正在响`,
    held: "坐席让您稍等，您听到的是音乐",
    dbov: (level) => `${level} dBov`,
    no_level: "没有声音",
    seconds: (s) => `${s} 秒`,
    stages: {
      idle: "未通话",
      calling: "正在拨打…",
      ivr: "热线在应答",
      queue: "排队等候",
      rings: "坐席话机在响",
      talk: "与坐席通话",
      over: "通话已结束",
    },
    verdicts: { no_signal: "没有声音", noise: "只有噪声", too_soft: "声音太小", speech: "有人说话" },
    reasons: {
      normal: "能听清",
      soft: "有人说话，但声音太小",
      noise: "有声音，但无人说话",
      sound: "安静线路上有声响，无人说话",
      tone: "信号音，无人说话",
      hum: "交流声，无人说话",
      comfort_noise: "舒适噪声，无人说话",
      digital_silence: "全静音",
      echo: "只有提示音的回声",
      no_rtp: "电话没有发送语音",
    },
    so_far: "（暂定）",
    lanes: { says: "热线在说", timers: "计时", marks: "判断", level: "您的音量，dBov", verdicts: "听到的", steps: "步骤" },
    normal_from: (dbov) => `${minus(dbov)} 起正常`,
    too_soft_below: (dbov) => `${minus(dbov)} 以下太小`,
    stays: {
      queue: (queue) => `排队：${queue}`,
      rings: (agent) => `${agent} 的话机在响`,
      talk: (agent) => `与 ${agent} 通话`,
      hold: () => "保持中",
    },
    marks: {
      verdict: (mark) => `${WORDS.zh.verdicts[mark.verdict]} ${tenth(mark.dbov)} dBov`,
      gain: (mark) => `线路调高 ${mark.db} dB`,
      key: () => "按键",
      leaves: (mark) => `→ ${mark.outcome ?? "?"}`,
    },
    events: {
      prompt: (id, words) => `热线：${words}（${id}）`,
      timer: (s) => `没有等到您说话，${s} 秒计时结束`,
      verdict: (mark) => `判断：${WORDS.zh.reasons[mark.reason] ?? mark.verdict}，${tenth(mark.dbov)} dBov`,
      gain: (mark) => `您的线路调高 ${mark.db} dB`,
      key: () => "按了一个键",
      leaves: (mark) => `离开语音系统：${WORDS.zh.outcome(mark.outcome)}`,
      said: (mark) => `您这边：${WORDS.zh[mark.voice]}`,
      queue: (queue) => `进入队列“${queue}”`,
      rings: (agent) => `${agent} 号坐席的电话响了`,
      talk: (agent) => `${agent} 号坐席接听`,
      hold: () => "坐席让您稍等",
      end: () => "挂断",
    },
    outcome(outcome) {
      const [kind, what] = String(outcome ?? "").split(":");
      if (kind === "queue") return "转人工";
      if (kind === "message") return "请留言";
      return { noinput: "一直没有声音，礼貌地挂断", too_soft: "一直听不清，礼貌地挂断", caller: "您挂断了" }[what] ?? String(outcome);
    },
    ended: {
      noinput: "您什么都没说。热线问了几遍，每次都等了同样的时间，然后礼貌地挂断。",
      too_soft: "您的声音太小，调高线路也不够。热线请您大声一点，最后礼貌地挂断。",
      caller: "您在热线应答时挂断了。",
      queue: "热线听到了您，把您转到队列；还没有坐席接听，您就离开了。",
      low: "热线先是听不清您，后来把您转到队列；还没有坐席接听，您就离开了。",
      talk: (agent) => `热线听到了您，${agent} 号坐席接听了您的电话。`,
      message: "热线请您留言。",
      unknown: "通话没有走完。",
    },
    facts: {
      outcome: "结果",
      heard: "语音系统听到",
      ivr: "在语音系统里",
      waited: "排队",
      talked: "与坐席通话",
      verdicts: "判断",
      punctual: "准时",
    },
    punctual: (ms) => `每句提示和每次计时与计划相差不超过 ${ms} 毫秒`,
    heards: {
      normal: "声音正常",
      silent1: "无声一次",
      silent2: "无声两次",
      low: "声音太小",
      noise: "只有噪声",
      key: "只按了键",
      unknown: "情况不明",
    },
    faults: {
      no_webrtc: "这个浏览器不能打电话（没有 WebRTC）。请用较新的 Firefox、Chrome、Edge 或 Safari 打开这一页。",
      insecure: ({ host }) =>
        `浏览器只在 https:// 或 http://127.0.0.1 的页面上给出麦克风，而这一页来自 http://${host}。录音按钮照常可用；要用麦克风，请在那台机器上打开 http://127.0.0.1，或给页面配上 TLS。`,
      microphone_refused: "没有麦克风的许可。录音按钮照常可用；要用麦克风，请点地址栏里的图标，允许本站使用麦克风，再试一次。",
      microphone_system: "操作系统不让浏览器用麦克风。录音按钮照常可用；要用麦克风，请在系统的隐私设置里允许浏览器使用，再试一次。",
      microphone_busy: "麦克风打不开，可能正被别的程序占用。录音按钮照常可用；要用麦克风，请关掉那个程序，再试一次。",
      microphone_none: "没有找到麦克风。录音按钮照常可用；要用麦克风，请接上一个，再试一次。",
      no_media:
        "电话接通了，但声音过不来：机器大概只有 127.0.0.1 这一个地址，而浏览器的通话需要另一个。请连上网络；没有网络时运行 " +
        "“ip link add hearline0 type dummy && ip addr add 192.0.2.1/32 dev hearline0 && ip link set hearline0 up”。" +
        "然后运行 hearline stack down 和 hearline stack up。",
      no_line: "浏览器连不上电话系统。请运行 hearline stack status，看 Asterisk 是否在运行；不在的话，运行 hearline stack up。",
      refused: ({ why }) => `电话系统没有接受这个呼叫（${why}）。请再试一次；还不行的话，hearline stack logs 里有原因。`,
      no_phone: "这台服务器没有给浏览器用的电话。请用 hearline stack up 启动，或设置 HEARLINE_PHONE。",
      try_off: "这台服务器没有开放试打。它只用于测试；在真实系统上，设置 HEARLINE_TRY_IT=signed-in 后重启服务。",
      signed_out: "请先在坐席工作台登录，再回到这一页。",
      no_hotline: "服务器现在读不到热线的流程文件。请运行 hearline flow check，按提示修改。",
      busy: "现在试打的人太多，请过一分钟再试。",
      offline: "连接不上服务器。请运行 hearline stack status 查看；服务器停了的话，运行 hearline stack up，再重新载入这一页。",
      server_gone: "服务器中断了，所以下面的图停在这里；通话本身由 Asterisk 继续。请运行 hearline stack status 查看。",
      missed: "电话接通了，但没有进入语音系统：服务器可能停了，您会直接进入队列。请运行 hearline stack status 查看。",
      broken: "出了点问题，请重新载入这一页再试。",
    },
  },
  en: {
    lang: "en",
    other_language: "中文",
    theme: { auto: "Theme: system", light: "Theme: light", dark: "Theme: dark" },
    title: "Try it",
    document: (name) => `Try ${name}`,
    intro:
      "Ring the hotline from your browser: no phone and no microphone needed. Say nothing at first, and watch what happens.",
    call: "Call the hotline",
    hang_up: "Hang up",
    voices: { idle: "Once you are connected, these buttons speak for you", live: "What do you say?" },
    silent: "Stay silent",
    silent_more: "say nothing at all",
    soft: "Speak softly",
    soft_more: "a recording, −50 dBov",
    speak: "Speak",
    speak_more: "a recording, −23 dBov",
    microphone: "Use my microphone",
    microphone_more: "your browser asks you first",
    keypad: "Keypad",
    keypad_note: "Keys go to the hotline. While the focus is here, you can also type them.",
    now: "Right now",
    timer: "Waiting for you",
    step: "Step",
    verdict: "Heard",
    level: "Your level",
    picture: "The call, as it goes on",
    picture_note:
      "From top to bottom: what the hotline says, its timers, the moments of its verdicts, your level (softer than the " +
      "lower line is too soft), what it hears, and the step of the flow.",
    log: "What happened",
    log_empty: "Once the call begins, everything is listed here in its order.",
    call_id: (id) => `Call ID ${id}`,
    account: "This call",
    agent_title: "Answer it yourself",
    agent_link: "Open the agents’ page in a second tab",
    agent_sign_in: "Sign in: work number",
    agent_phone: "Tick “Use this page as my phone”",
    agent_answer: "Come back here, call the hotline and press “Speak”. The phone rings over there: answer it",
    nothing_yet: "No call yet",
    nothing_said: "nothing said",
    waits: "Please wait a moment",
    far_side: (agent) => `You are talking with agent ${agent}`,
    in_queue: (queue) => `You are waiting in the queue “${queue}”. What you hear is music. “Answer it yourself”, below, says how to take this call`,
    rings_at: (agent) => `The phone of agent ${agent} rings`,
    held: "The agent has put you on hold. What you hear is music",
    dbov: (level) => `${level} dBov`,
    no_level: "no sound",
    seconds: (s) => `${s} s`,
    stages: {
      idle: "No call",
      calling: "Calling…",
      ivr: "The hotline answers",
      queue: "In the queue",
      rings: "Agent’s phone rings",
      talk: "Talking with an agent",
      over: "Call ended",
    },
    verdicts: { no_signal: "no signal", noise: "noise", too_soft: "too soft", speech: "speech" },
    reasons: {
      normal: "somebody speaks and can be heard",
      soft: "somebody speaks, but too softly",
      noise: "sounds, but nobody speaks",
      sound: "a sound on a silent line, but nobody speaks",
      tone: "tones, nobody speaks",
      hum: "mains hum, nobody speaks",
      comfort_noise: "comfort noise, nobody speaks",
      digital_silence: "digital silence",
      echo: "only the echo of our own prompt",
      no_rtp: "the phone sends nothing",
    },
    so_far: " (so far)",
    lanes: {
      says: "The hotline says",
      timers: "Timers",
      marks: "Verdicts",
      level: "Your level, dBov",
      verdicts: "Heard",
      steps: "Step",
    },
    normal_from: (dbov) => `normal from ${minus(dbov)}`,
    too_soft_below: (dbov) => `too soft below ${minus(dbov)}`,
    stays: {
      queue: (queue) => `queue: ${queue}`,
      rings: (agent) => `${agent} rings`,
      talk: (agent) => `talk with ${agent}`,
      hold: () => "on hold",
    },
    marks: {
      verdict: (mark) => `${WORDS.en.verdicts[mark.verdict]} ${tenth(mark.dbov)} dBov`,
      gain: (mark) => `line raised by ${mark.db} dB`,
      key: () => "key",
      leaves: (mark) => `→ ${mark.outcome ?? "?"}`,
    },
    events: {
      prompt: (id, words) => `The hotline: ${words} (${id})`,
      timer: (s) => `Nothing was said before the ${s} s timer ran out`,
      verdict: (mark) => `Verdict: ${WORDS.en.reasons[mark.reason] ?? mark.verdict}, ${tenth(mark.dbov)} dBov`,
      gain: (mark) => `Your line is raised by ${mark.db} dB`,
      key: () => "A key was pressed",
      leaves: (mark) => `Out of the IVR: ${WORDS.en.outcome(mark.outcome)}`,
      said: (mark) => `Your side: ${WORDS.en[mark.voice].toLowerCase()}`,
      queue: (queue) => `Into the queue “${queue}”`,
      rings: (agent) => `The phone of agent ${agent} rings`,
      talk: (agent) => `Agent ${agent} answers`,
      hold: () => "The agent puts you on hold",
      end: () => "Hung up",
    },
    outcome(outcome) {
      const [kind, what] = String(outcome ?? "").split(":");
      if (kind === "queue") return "to an agent";
      if (kind === "message") return "asked for a message";
      return (
        {
          noinput: "no sound at all, let go politely",
          too_soft: "too soft throughout, let go politely",
          caller: "you hung up",
        }[what] ?? String(outcome)
      );
    },
    ended: {
      noinput: "You said nothing. The hotline asked again after the same wait each time, and let you go politely.",
      too_soft:
        "You were too soft, even on a raised line. The hotline asked you to speak up, and let you go politely at last.",
      caller: "You hung up while the hotline was answering.",
      queue: "The hotline heard you and sent you to the queue. You left before an agent answered.",
      low: "The hotline could hardly hear you at first, then sent you to the queue. You left before an agent answered.",
      talk: (agent) => `The hotline heard you, and agent ${agent} answered your call.`,
      message: "The hotline asked you to leave a message.",
      unknown: "The call did not come to its end.",
    },
    facts: {
      outcome: "Outcome",
      heard: "The IVR heard",
      ivr: "In the IVR",
      waited: "In the queue",
      talked: "With an agent",
      verdicts: "Verdicts",
      punctual: "On time",
    },
    punctual: (ms) => `every prompt and timer within ${ms} ms of its plan`,
    heards: {
      normal: "a normal voice",
      silent1: "silence, once",
      silent2: "silence, twice",
      low: "a voice that is too soft",
      noise: "only noise",
      key: "only a key press",
      unknown: "not known",
    },
    faults: {
      no_webrtc: "This browser cannot make calls (it has no WebRTC). Open this page in a recent Firefox, Chrome, Edge or Safari.",
      insecure: ({ host }) =>
        `Browsers give the microphone only to pages at https:// or http://127.0.0.1, and this one is at http://${host}. ` +
        "The recordings work all the same. To use the microphone, open http://127.0.0.1 on that machine, or give the page TLS.",
      microphone_refused:
        "The microphone was refused. The recordings work all the same. To use it, allow the microphone for this site at the " +
        "icon in the address bar, and try again.",
      microphone_system:
        "The operating system keeps the microphone from the browser. The recordings work all the same. To use it, allow it in " +
        "the system's privacy settings, and try again.",
      microphone_busy:
        "The microphone does not open; another program may use it. The recordings work all the same. To use it, close that " +
        "program, and try again.",
      microphone_none: "No microphone was found. The recordings work all the same. To use one, plug it in and try again.",
      no_media:
        "The call is connected, but no sound comes through: the machine probably has no address but 127.0.0.1, and calls from " +
        "a browser need another one. Connect it to a network, or run “ip link add hearline0 type dummy && ip addr add " +
        "192.0.2.1/32 dev hearline0 && ip link set hearline0 up”. Then run hearline stack down and hearline stack up.",
      no_line:
        "The browser cannot reach the telephone system. Run hearline stack status to see whether Asterisk runs; if not, run " +
        "hearline stack up.",
      refused: ({ why }) =>
        `The telephone system did not take the call (${why}). Try again; if it happens again, hearline stack logs says why.`,
      no_phone: "This server has no telephone for browsers. Start it with hearline stack up, or set HEARLINE_PHONE.",
      try_off:
        "Trial calls are off on this server. They are for tests; on a system with real callers, set HEARLINE_TRY_IT=signed-in " +
        "and restart the server.",
      signed_out: "Sign in at the agents’ page first, then come back to this page.",
      no_hotline: "The server cannot read the hotline’s flow just now. Run hearline flow check, and do what it says.",
      busy: "Too many people are trying it just now. Try again in a minute.",
      offline:
        "The server cannot be reached. Run hearline stack status; if it is down, run hearline stack up, and load this page again.",
      server_gone:
        "The server has gone, so the picture stops here; Asterisk goes on with the call. Run hearline stack status to see more.",
      missed:
        "The call was answered, but did not come to the IVR. The server may be down, and you go straight to the queue. Run " +
        "hearline stack status to see more.",
      broken: "Something went wrong. Load this page again, and try once more.",
    },
  },
};

/** A number with a real minus sign. */
export const minus = (number) => String(number).replace("-", "−");
const tenth = (dbov) => (dbov == null ? "?" : minus(dbov.toFixed(1)));

/** The texts in this language. */
export const textsIn = (language) => WORDS[language];
