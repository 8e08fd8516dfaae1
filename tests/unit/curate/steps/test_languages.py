"""Sentences in every language that can be told: how often it is told, and that it is hardly ever told wrong."""

from __future__ import annotations

import pytest

from freehold.curate.steps.languages import LANGUAGES, language_of

SENTENCES: dict[str, str] = {
    "en": """Where is the parcel that I ordered last week?
        The invoice shows a wrong amount, please correct it.
        Customers often complain about long waiting times on the phone.
        My account was locked after three attempts and I cannot log in.
        Summarise this report in two sentences for our manager.""",
    "de": """Wo bleibt das Paket, das ich letzte Woche bestellt habe?
        Auf der Rechnung steht ein falscher Betrag, bitte korrigieren Sie das.
        Kunden beschweren sich oft über lange Wartezeiten am Telefon.
        Mein Konto wurde nach drei Versuchen gesperrt und ich komme nicht mehr hinein.
        Fasse diesen Bericht für unsere Leiterin in zwei Sätzen zusammen.""",
    "fr": """Où est le colis que j'ai commandé la semaine dernière ?
        La facture indique un montant erroné, veuillez la corriger.
        Les clients se plaignent souvent des longs temps d'attente au téléphone.
        Mon compte a été bloqué après trois essais et je ne peux plus me connecter.
        Résume ce rapport en deux phrases pour notre directrice.""",
    "es": """¿Dónde está el paquete que pedí la semana pasada?
        La factura muestra un importe equivocado, corríjanlo por favor.
        Los clientes se quejan a menudo de las largas esperas en el teléfono.
        Mi cuenta se bloqueó después de tres intentos y no puedo entrar.
        Resume este informe en dos frases para nuestra directora.""",
    "it": """Dov'è il pacco che ho ordinato la settimana scorsa?
        La fattura riporta un importo sbagliato, correggetela per favore.
        I clienti si lamentano spesso delle lunghe attese al telefono.
        Il mio conto è stato bloccato dopo tre tentativi e non riesco a entrare.
        Riassumi questa relazione in due frasi per la nostra direttrice.""",
    "pt": """Onde está a encomenda que fiz na semana passada?
        A fatura mostra um valor errado, corrijam por favor.
        Os clientes queixam-se muitas vezes das longas esperas ao telefone.
        A minha conta foi bloqueada depois de três tentativas e não consigo entrar.
        Resuma este relatório em duas frases para a nossa diretora.""",
    "nl": """Waar blijft het pakket dat ik vorige week heb besteld?
        Op de factuur staat een verkeerd bedrag, wilt u dat verbeteren.
        Klanten klagen vaak over de lange wachttijden aan de telefoon.
        Mijn rekening werd na drie pogingen geblokkeerd en ik kan er niet meer in.
        Vat dit verslag samen in twee zinnen voor onze directeur.""",
    "sv": """Var är paketet som jag beställde förra veckan?
        Fakturan visar fel belopp, kan ni rätta det?
        Kunderna klagar ofta på långa väntetider i telefonen.
        Mitt konto spärrades efter tre försök och jag kan inte logga in.
        Sammanfatta den här rapporten i två meningar för vår chef.""",
    "da": """Hvor bliver pakken af, som jeg bestilte i sidste uge?
        Fakturaen viser et forkert beløb, kan I rette det?
        Kunderne klager ofte over lange ventetider i telefonen.
        Min konto blev spærret efter tre forsøg, og jeg kan ikke logge ind.
        Hvad skal jeg gøre, når min pakke ikke er blevet leveret?""",
    "nb": """Hvor blir det av pakken som jeg bestilte i forrige uke?
        Fakturaen viser feil beløp, hva gjør jeg nå?
        Kundene klager ofte på lange ventetider på telefonen.
        Kontoen min ble sperret etter tre forsøk, og jeg får ikke logget meg inn.
        Hva skal jeg gjøre når pakken min ikke ble levert?""",
    "fi": """Missä on paketti, jonka tilasin viime viikolla?
        Laskussa on väärä summa, voitteko korjata sen?
        Asiakkaat valittavat usein siitä, että puhelimessa joutuu odottamaan.
        Tilini lukittiin kolmen yrityksen jälkeen, enkä pääse kirjautumaan.
        Tiivistä tämä raportti kahteen virkkeeseen johtajaamme varten.""",
    "pl": """Gdzie jest paczka, którą zamówiłem w zeszłym tygodniu?
        Na fakturze jest błędna kwota, proszę ją poprawić.
        Klienci często skarżą się na długie oczekiwanie przy telefonie.
        Moje konto zostało zablokowane po trzech próbach i nie mogę się zalogować.
        Streść ten raport w dwóch zdaniach dla naszej dyrektorki.""",
    "cs": """Kde je balík, který jsem si objednal minulý týden?
        Na faktuře je chybná částka, prosím opravte ji.
        Zákazníci si často stěžují na dlouhé čekání u telefonu.
        Můj účet byl po třech pokusech zablokován a nemohu se přihlásit.
        Shrň tuto zprávu do dvou vět pro naši ředitelku.""",
    "ro": """Unde este pachetul pe care l-am comandat săptămâna trecută?
        Factura arată o sumă greșită, vă rog să o corectați.
        Clienții se plâng des de așteptarea lungă la telefon.
        Contul meu a fost blocat după trei încercări și nu pot intra.
        Rezumă acest raport în două fraze pentru directoarea noastră.""",
    "hu": """Hol van a csomag, amelyet múlt héten rendeltem?
        A számlán hibás összeg szerepel, kérem, javítsák ki.
        Az ügyfelek gyakran panaszkodnak a hosszú várakozásra a telefonban.
        A fiókomat három próbálkozás után zárolták, és nem tudok belépni.
        Foglald össze ezt a jelentést két mondatban az igazgatónknak.""",
    "tr": """Geçen hafta sipariş ettiğim paket nerede kaldı?
        Faturada yanlış bir tutar var, lütfen düzeltin.
        Müşteriler telefonda çok beklemekten sık sık şikâyet ediyor.
        Hesabım üç denemeden sonra kilitlendi ve artık giremiyorum.
        Bu raporu müdürümüz için iki cümleyle özetle.""",
    "id": """Di mana paket yang saya pesan minggu lalu?
        Faktur ini menunjukkan jumlah yang salah, tolong perbaiki.
        Pelanggan sering mengeluh karena harus menunggu lama di telepon.
        Akun saya terkunci sesudah tiga kali mencoba dan saya tidak bisa masuk.
        Ringkas laporan ini dalam dua kalimat untuk direktur kami.""",
    "vi": """Gói hàng tôi đặt tuần trước đang ở đâu?
        Hóa đơn ghi sai số tiền, vui lòng sửa lại cho tôi.
        Khách hàng thường phàn nàn về việc phải chờ lâu khi gọi điện thoại.
        Tài khoản của tôi bị khóa sau ba lần thử và tôi không thể đăng nhập.
        Hãy tóm tắt báo cáo này trong hai câu cho giám đốc của chúng tôi.""",
    "ru": """Где посылка, которую я заказал на прошлой неделе?
        В счёте указана неверная сумма, пожалуйста, исправьте её.
        Клиенты часто жалуются на долгое ожидание по телефону.
        Мой аккаунт заблокировали после трёх попыток, и я не могу войти.
        Перескажи этот отчёт в двух предложениях для нашего директора.""",
    "uk": """Де посилка, яку я замовив минулого тижня?
        У рахунку вказана неправильна сума, будь ласка, виправте її.
        Клієнти часто скаржаться на довге очікування по телефону.
        Мій обліковий запис заблокували після трьох спроб, і я не можу увійти.
        Перекажи цей звіт двома реченнями для нашого директора.""",
    "bg": """Къде е пратката, която поръчах миналата седмица?
        Във фактурата има грешна сума, моля, поправете я.
        Клиентите често се оплакват от дългото чакане по телефона.
        Профилът ми беше заключен след три опита и не мога да вляза.
        Обобщи този доклад в две изречения за нашата директорка.""",
    "el": "Πού είναι το δέμα που παρήγγειλα;\nΤο τιμολόγιο δείχνει λάθος ποσό.",
    "ar": "أين الطرد الذي طلبته الأسبوع الماضي؟\nالفاتورة تظهر مبلغا خاطئا.",
    "fa": "بسته‌ای که هفته گذشته سفارش دادم کجاست؟\nلطفا مبلغ فاکتور را اصلاح کنید.",
    "he": "איפה החבילה שהזמנתי בשבוע שעבר?\nהסכום בחשבונית שגוי.",
    "hi": "पिछले सप्ताह मंगाया गया पैकेट कहाँ है?\nबिल में राशि गलत है।",
    "bn": "গত সপ্তাহে যে পার্সেল অর্ডার করেছি তা কোথায়?\nচালানে ভুল টাকা আছে।",
    "ta": "கடந்த வாரம் நான் வாங்கிய பொருள் எங்கே?\nவிலைப்பட்டியலில் தொகை தவறு.",
    "th": "พัสดุที่ฉันสั่งเมื่อสัปดาห์ที่แล้วอยู่ที่ไหน\nใบแจ้งหนี้แสดงยอดเงินผิด",
    "ja": "先週注文した荷物はどこですか。\n請求書の金額が間違っています。",
    "zh": "我上周订购的包裹在哪里？\n发票上的金额不对，请更正。",
    "ko": "지난주에 주문한 소포는 어디에 있나요?\n청구서 금액이 잘못되었습니다.",
}


def test_sentences_are_told_and_hardly_ever_told_wrong() -> None:
    assert set(SENTENCES) == LANGUAGES
    told = [
        (language, language_of(line.strip()), line.strip())
        for language, lines in SENTENCES.items()
        for line in lines.splitlines()
    ]
    right = sum(language == found for language, found, _ in told) / len(told)
    wrong = [row for row in told if row[1] not in (None, row[0])]
    assert right >= 0.93 and len(wrong) / len(told) <= 0.03, (right, [row for row in told if row[0] != row[1]])


@pytest.mark.parametrize("text", ["", "42", "x = y[3]", "ORD-1138", "ok", "🙂🙂"])
def test_what_is_no_sentence_has_no_language(text: str) -> None:
    assert language_of(text) is None
