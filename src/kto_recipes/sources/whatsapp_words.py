"""What WhatsApp itself writes into an export, in the language of the phone.

On an iPhone, and before file names on Android, such words begin with U+200E, so most of them are known without
their language. What stands here is for Android and for exports that lost the mark on their way. Languages:
English, German, Spanish, French, Italian, Portuguese, Dutch; of Russian and Czech only what stands for media.
"""

import re

_MARK = "\u200e"
_OMITTED = "|".join(
    [
        r"(?:media|image|video|audio|sticker|gif|document|contact card|video note|video message) omitted",
        r"view once (?:voice )?message omitted",
        r"medien (?:ausgeschlossen|weggelassen)",
        r"(?:bild|video|audio|sticker|gif|dokument|kontaktkarte) (?:weggelassen|ausgelassen)",
        r"(?:multimedia|archivo|imagen|v[ií]deo|audio|sticker|gif|documento|tarjeta de contacto) omitid[oa]",
        r"(?:médias?|fichier|image|vidéo|audio|sticker|gif|document|carte de contact) (?:omi[st]e?|absente?|retirée?)",
        r"(?:media|immagine|video|audio|sticker|gif|documento|scheda contatto) (?:omess[aio]|esclus[ao])",
        r"m[ií]dia oculta|arquivo de mídia oculto|(?:ficheiro|arquivo) não revelado",
        r"(?:imagem|vídeo|áudio|figurinha|gif|documento|cartão do contato)"
        r" (?:ocultad[oa]|ocult[oa]|omitid[oa]|não revelad[oa])",
        r"(?:media|afbeelding|video|audio|sticker|gif|document|contactkaart) weggelaten",
        r"без медиафайлов|média vynechány",
    ]
)
_ATTACHED = (
    "file attached|datei angehängt|archivo adjunto|fichier joint|file allegato|arquivo anexado|ficheiro anexado"
    "|bestand bijgevoegd|файл добавлен|soubor byl přiložen"
)
_MEDIA = [
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        # <Media omitted>, then perhaps words on the next line; or words, then image omitted
        rf"\A{_MARK}?<?(?:{_OMITTED})>?(?=\n|\Z)",
        rf"{_MARK}<?(?:{_OMITTED})>?\Z",
        # IMG-20250305-WA0001.jpg (file attached), in any language; other files by the words
        rf"\A{_MARK}?(?:IMG|VID|AUD|PTT|DOC|STK)-\d{{8}}-WA\d+\.\w+ \([^()\n]+\)(?=\n|\Z)",
        rf"\A{_MARK}?[^\n]+\.\w{{2,5}} \((?:{_ATTACHED})\)(?=\n|\Z)",
        # <attached: 00000012-PHOTO-2025-03-05-10-14-33.jpg>
        rf"(?:{_MARK}<[^<>:\n]{{2,20}}|<(?:attached|anhang|adjunto|pièce jointe|allegato|anexado|bijgevoegd))"
        r"[ \u00a0\u202f]?: ?[^<>\n]+\.\w{2,5}>",
    )
]
_FILE_NAME = re.compile(r"[^\n/]+\.[A-Za-z][A-Za-z0-9]{1,4}(?: • [^\n]*)?")
_NO_WORDS = re.compile(  # a poll, a place, or null: what Android writes for what it cannot show
    rf"{_MARK}?(?:(?:poll|umfrage|encuesta|sondage|sondaggio|enquete|peiling):[ {_MARK}]*\n.*"
    r"|(?:live )?(?:location|standort|ubicación|position|posizione|localização|locatie)[ \u00a0]?: https?://.*|null)",
    re.IGNORECASE | re.DOTALL,
)
_DELETED = re.compile(
    rf"{_MARK}?(?:"
    r"this message was deleted(?: by admin [^\n]+)?|you deleted this message(?: as admin)?"
    r"|diese nachricht wurde gelöscht|du hast diese nachricht gelöscht"
    r"|se eliminó este mensaje|este mensaje fue eliminado|eliminaste este mensaje"
    r"|ce message a été supprimé|vous avez supprimé ce message"
    r"|questo messaggio è stato eliminato|hai eliminato questo messaggio"
    r"|(?:esta )?mensagem (?:foi )?apagada|(?:você )?apagou esta mensagem"
    r"|esta mensagem foi eliminada|eliminou esta mensagem"
    r"|dit bericht (?:is|werd) verwijderd|(?:je|u) hebt dit bericht verwijderd"
    r")\.?",
    re.IGNORECASE,
)
_EDITED = re.compile(
    rf"(?: ?{_MARK}<[^<>:\n]+>|[ \n]<(?:"
    r"this message was edited|diese nachricht wurde bearbeitet|se editó este mensaje|mensaje editado"
    r"|ce message a été modifié|questo messaggio è stato modificato|(?:esta )?mensagem (?:foi )?editada"
    r"|dit bericht is bewerkt)\.?>)\Z",
    re.IGNORECASE,
)


def persons_words(text: str) -> tuple[str, str | None]:
    """Of a message's text what a person wrote, and why the message is nobody's turn, if it is not."""
    if _DELETED.fullmatch(text.strip()):
        return "", "deleted"
    words = text
    for pattern in _MEDIA:
        words = pattern.sub("", words, count=1)
    if words != text:
        words = words.strip(f"{_MARK} \n")
        words = "" if _FILE_NAME.fullmatch(words) else words
    words = _EDITED.sub("", words)
    if _NO_WORDS.fullmatch(words.strip()):
        return "", "media_without_text"
    if not words.strip():
        return "", "media_without_text" if text.strip() else "empty"
    if words.startswith(_MARK):
        return "", "service"  # a call, a notice, a placeholder in a language not listed
    return words, None
